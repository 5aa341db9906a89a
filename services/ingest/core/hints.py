"""What else do the properties tell? Page, link, mail, campaign and machine flags under any of their spellings."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from schemas.messages import Actor
from services.ingest.core.limits import TEXT_MAX, URL_MAX, clean_text

# Slot to spellings, best first. Folded: without case and separators.
_SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "email": ("email", "emailaddress", "recipient", "recipientemail", "toemail", "useremail", "contactemail"),
    "url": ("url", "pageurl", "currenturl", "$currenturl", "weburl"),
    "path": ("path", "pagepath", "pathname", "$pathname"),
    "link": ("link", "linkurl", "href", "clickedurl", "clickurl", "targeturl", "linkhref", "originallink"),
    "message": (
        "messageid", "emailmessageid", "emailid", "deliveryid", "sendid", "broadcastid", "campaignid", "emailcampaignid",
        "templateid",
    ),
    "campaign": ("campaign", "campaignname", "utmcampaign", "emailcampaignname", "campaignid"),
    "user_agent": ("useragent", "ua", "$useragent"),
    "crm": ("crmid", "salesforceid", "hubspotid", "crmcontactid", "salesforcecontactid", "hubspotcontactid"),
    "machine": (
        "machine", "ismachine", "machineopen", "ismachineopen", "machineclick", "sgmachineopen", "prefetched",
        "isprefetched", "prefetch", "bot", "isbot", "filteredevent", "botdetected", "scanner", "isscanner",
        "automated", "isautomated", "suspectedbot", "applemppopen", "ismpp", "mpp",
    ),
    "proxied": ("proxied", "isproxied", "proxy", "isproxy", "proxyopen"),
    # How the vendor's tracker was asked, and what for: HEAD looks and does not open; a prefetch comes before anybody acts.
    "asked": ("method", "httpmethod", "requestmethod", "purpose", "secpurpose", "xpurpose", "xmoz"),
    "human": ("human", "ishuman"),
    "actor": ("actor",),
    "ip": ("ip", "ipaddress", "clientip", "$ip"),
}  # fmt: skip
_RANKED: Final = {spelling: (slot, rank) for slot, all_ in _SLOTS.items() for rank, spelling in enumerate(all_)}
# `campaignid` serves two slots: it names the mail when nothing closer does, and the campaign when it has no name.
_ALSO: Final = {"campaignid": ("message", 6)}
_ACTORS: Final[frozenset[str]] = frozenset(("human", "proxied", "machine", "unknown"))
_WEB: Final = ("https://", "http://")
_YES: Final = frozenset(("true", "1", "yes"))
# Mailgun's `client-info.bot` names which; Gmail's image proxy stands before a real person.
_BOT_NAMES: Final[dict[str, Actor]] = {"apple": "machine", "generic": "machine", "gmail": "proxied", "yahoo": "proxied"}
_FLAGS: Final = frozenset(("machine", "proxied"))
# Slots that take what stands there as it is; and those that say who did it.
_JUDGED: Final = frozenset(("machine", "proxied", "asked", "campaign"))
ACTING: Final = frozenset(("actor", "machine", "proxied", "human"))
# Programs send few different sets of properties, in the same order. What each means is remembered, within bounds.
_SHAPES_MAX: Final = 4096
_SHAPE_MAX_NAMES: Final = 48
_SHAPE_MAX_CHARS: Final = 1024


class _Shape(msgspec.Struct, frozen=True):
    """What names of properties mean: those that we know, in order; `plain` when no two of them need to be weighed."""

    known: tuple[tuple[str, str, int], ...]
    plain: tuple[tuple[str, str], ...] | None


_shapes: dict[tuple[str, ...], _Shape] = {}


@lru_cache(maxsize=_SHAPES_MAX)
def _slot(key: str) -> tuple[str, int] | None:
    """The slot that a name of at most 64 characters means, and how well."""
    return _RANKED.get("".join(c for c in key.casefold() if c.isalnum() or c == "$"))


def _shape(names: tuple[str, ...]) -> _Shape:
    slots = [(name, _slot(name[:64])) for name in names]
    known = tuple((name, *found) for name, found in slots if found is not None)
    once = {slot for _, slot, _ in known}
    plain = len(once) == len(known) and once.isdisjoint(_JUDGED)
    made = _Shape(known, tuple((name, slot) for name, slot, _ in known) if plain else None)
    if len(names) <= _SHAPE_MAX_NAMES and sum(map(len, names)) <= _SHAPE_MAX_CHARS:
        if len(_shapes) >= _SHAPES_MAX:
            _shapes.clear()
        _shapes[names] = made
    return made


def hints(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the properties we know, by slot, the best spelling of each.

    Slots: email, url, path, link, message, campaign, user_agent, crm, machine, proxied, human, actor, ip. Machine flags
    are true when any of them is.
    """
    names = tuple(properties)
    shape = _shapes.get(names) or _shape(names)
    found: dict[str, Any] = {}
    if shape.plain is not None:
        for key, slot in shape.plain:
            value = properties[key]
            if value is not None and value != "":
                found[slot] = value
        return found
    ranks: dict[str, int] = {}
    for key, slot, rank in shape.known:
        value = properties[key]
        if value is None or value == "":
            continue
        if slot in _FLAGS:
            _flag(found, slot, value)
            continue
        if slot == "asked":
            if (
                isinstance(value, str)
                and (word := value.strip().casefold())
                and (word == "head" or "prefetch" in word[:8])
            ):
                found["machine"] = True
            continue
        if slot not in found or rank < ranks[slot]:
            found[slot], ranks[slot] = value, rank
        if rank == 4 and slot == "campaign" and "message" not in found:
            found["message"], ranks["message"] = value, _ALSO["campaignid"][1]
    return found


def _flag(found: dict[str, Any], slot: str, value: object) -> None:
    if value is True or value == 1 or (isinstance(value, str) and value.casefold() in _YES):
        found[slot] = True
    elif isinstance(value, str) and value.casefold() in _BOT_NAMES:
        found[_BOT_NAMES[value.casefold()]] = True


def actor_of(found: Mapping[str, Any]) -> Actor | None:
    """Who did it, as the source itself says. None when it says nothing."""
    said = found.get("actor")
    if isinstance(said, str) and said.casefold() in _ACTORS:
        return said.casefold()  # type: ignore[return-value]  # one of the four, by the line above
    if found.get("machine"):
        return "machine"
    if found.get("proxied"):
        return "proxied"
    human = found.get("human")
    if human is True or (isinstance(human, str) and human.casefold() in _YES):
        return "human"
    return None


def web_url(value: object) -> str | None:
    """An http(s) address of at most 2048 characters without white space or control characters, or None."""
    if not isinstance(value, str):
        return None
    if value.startswith(_WEB) and len(value) <= URL_MAX and value.isprintable() and " " not in value:
        return value  # nearly every address
    text = value.strip()
    if not text or len(text) > URL_MAX or not text.isprintable() or " " in text:
        return None
    return text if text[:8].casefold().startswith(("http://", "https://")) else None


def path_of(path: object, url: str | None) -> str | None:
    """The page's path, from the field or else from the address; query and fragment are cut off."""
    if (
        type(path) is str
        and path[:1] == "/"
        and len(path) <= TEXT_MAX
        and not ("?" in path or "#" in path or path[-1].isspace())
    ):
        return path  # nearly every path
    text = clean_text(path, TEXT_MAX) if isinstance(path, str) else None
    if text is not None and not text.startswith("/"):
        text = None if "://" in text else f"/{text}"
    if text is None and url is not None:
        after = url.find("/", url.find("//") + 2)
        text = url[after : after + TEXT_MAX] if after > 0 else "/"
    if text is None:
        return None
    for cut in "?#":
        at = text.find(cut)
        if at >= 0:
            text = text[:at]
    return text or "/"
