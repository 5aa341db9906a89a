"""Was it a human? A probability and a reason, from what the source says and what one event shows by itself.

What only several events of one mail show together is judged in `bursts.py`.
"""

import re
from functools import lru_cache
from typing import Final, Literal

import crawleruseragents

from schemas.messages import Actor

WHOLE: Final = 1000  # an event counts in thousandths

ACTORS: Final[tuple[Actor, ...]] = ("unknown", "human", "proxied", "machine")
# Stored beside each event: never renumber.
REASONS: Final[tuple[str, ...]] = (
    "", "source_says", "scanner_agent", "bare_agent", "prefetch_agent", "crawler_agent", "image_proxy", "burst",
    "delivered_burst", "too_fast", "flood", "too_old", "clock_ahead", "tool_agent", "apple_egress", "honeypot",
)  # fmt: skip
_REASON_NUMBER: Final = {reason: number for number, reason in enumerate(REASONS)}

Doing = Literal["open", "click", "page", "other"]
DOING: Final[dict[str, Doing]] = {"email.opened": "open", "email.clicked": "click", "page.viewed": "page"}
# Thousandths for an act of which nothing is known: opens are mostly machines, clicks partly (SCIENCE 4.1).
UNKNOWN: Final[dict[Doing, int]] = {"open": 300, "click": 700, "page": WHOLE, "other": WHOLE}
PROXIED: Final[dict[Doing, int]] = {"open": 900, "click": WHOLE, "page": WHOLE, "other": WHOLE}

# Mail gateways that open and click to look for harm; no public list holds them.
_SCANNERS = re.compile(
    r"barracuda|proofpoint|mimecast|safelinks|microsoft office protocol discovery|msoffice.*linkcheck|symantec|messagelabs"
    r"|fireeye|trellix|forcepoint|cisco.*(ironport|secure email)|ironport|sophos|trend ?micro|fortimail|fortiguard|zscaler"
    r"|vade ?(secure|retro)|avanan|checkpoint|cloudmark|retarus|hornetsecurity|spamhaus|urlscan|virustotal|link ?scanner",
    re.IGNORECASE,
)
# Programs and previews of links. No crawler list is asked about mails: those hold image proxies and genuine mail programs.
_TOOLS = re.compile(
    r"python-requests|python-urllib|aiohttp|python-httpx|\bcurl/|\bwget|go-http-client|^java/|apache-httpclient|libwww-perl|\baxios/"
    r"|node-fetch|\bundici|headlesschrome|phantomjs|puppeteer|playwright|scrapy|(?<!cu)bot\b|crawler|spider|facebookexternalhit"
    r"|skypeuripreview|^whatsapp/",
    re.IGNORECASE,
)
_PROXIES = re.compile(r"googleimageproxy|yahoomailproxy|ggpht\.com", re.IGNORECASE)
# Gmail fetches images at delivery with this frozen agent; a person's later look comes as GoogleImageProxy.
_PREFETCH = re.compile(r"Edge/12\.246")
_BARE: Final = "mozilla/5.0"  # what Apple's mail privacy sends


# Apple's relays fetch images whether anybody looks or not. With a browser's full agent it may be a person in webmail.
RELAYED_OPEN: Final = 100


def verdict_code(actor: Actor, reason: str) -> int:
    """Actor and reason as one small number, as stored."""
    return ACTORS.index(actor) | _REASON_NUMBER[reason] << 3


def verdict_of(code: int) -> tuple[Actor, str]:
    """Actor and reason of a stored number; a reason of a later version reads as none."""
    number = code >> 3
    return ACTORS[code & 3], REASONS[number] if number < len(REASONS) else ""


@lru_cache(maxsize=50_000)
def judge(signal: str, actor: Actor | None, user_agent: str | None) -> tuple[int, int]:
    """One event by itself.

    Returns:
        How likely a person did it, in thousandths (0 to 1000), which is what it counts; and the verdict's number.
    """
    doing = DOING.get(signal, "other")
    if actor == "machine":
        return 0, verdict_code("machine", "source_says")
    if actor == "human":
        return WHOLE, verdict_code("human", "source_says")
    if user_agent and doing != "other":
        reason = _machine_agent(doing, user_agent)
        if reason is not None:
            return 0, verdict_code("machine", reason)
        if doing == "open" and _PROXIES.search(user_agent):
            return PROXIED["open"], verdict_code("proxied", "image_proxy")
    if actor == "proxied":
        return PROXIED[doing], verdict_code("proxied", "source_says")
    return UNKNOWN[doing], verdict_code("unknown", "")


def relayed(weight: int, verdict: int, user_agent: str | None) -> tuple[int, int]:
    """What an open that came out of Apple's relays counts, given what it counts by itself."""
    if verdict & 3 != _UNKNOWN:
        return weight, verdict  # the source, or an image proxy's agent, says more
    if user_agent is None or user_agent.strip().lower() == _BARE:
        return 0, _RELAY
    return min(weight, RELAYED_OPEN), _MAYBE_RELAY


def _machine_agent(doing: Doing, agent: str) -> str | None:
    if _SCANNERS.search(agent):
        return "scanner_agent"
    if doing == "page":
        return "crawler_agent" if crawleruseragents.is_crawler(agent) else None
    if agent.strip().lower() == _BARE:
        return "bare_agent"
    if doing == "open" and _PREFETCH.search(agent):
        return "prefetch_agent"
    return "tool_agent" if _TOOLS.search(agent) else None


_UNKNOWN: Final = ACTORS.index("unknown")
_RELAY: Final = verdict_code("machine", "apple_egress")
_MAYBE_RELAY: Final = verdict_code("unknown", "apple_egress")
