"""Was it a human?"""

import pytest

from services.scoring.core import bursts
from services.scoring.core.actor import REASONS, judge, relayed, verdict_code, verdict_of

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
PREFETCH = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.mark.parametrize(
    ("signal", "actor", "agent", "weight", "said"),
    [
        ("email.opened", None, None, 300, ("unknown", "")),
        ("email.opened", "unknown", CHROME, 300, ("unknown", "")),
        ("email.opened", None, "Mozilla/5.0", 0, ("machine", "bare_agent")),
        ("email.opened", None, PREFETCH, 0, ("machine", "prefetch_agent")),
        ("email.opened", None, PROXY, 900, ("proxied", "image_proxy")),
        ("email.opened", "proxied", None, 900, ("proxied", "source_says")),
        ("email.opened", None, "Microsoft Outlook 16.0", 300, ("unknown", "")),
        ("email.clicked", None, CHROME, 700, ("unknown", "")),
        ("email.clicked", "human", "Barracuda", 1000, ("human", "source_says")),
        ("email.clicked", None, "BarracudaCentral/2.0", 0, ("machine", "scanner_agent")),
        ("email.clicked", None, " mozilla/5.0 ", 0, ("machine", "bare_agent")),
        ("email.clicked", None, "python-requests/2.32", 0, ("machine", "tool_agent")),
        ("email.opened", None, "curl/8.5.0", 0, ("machine", "tool_agent")),
        (
            "email.clicked",
            None,
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            0,
            ("machine", "tool_agent"),
        ),
        (
            "email.clicked",
            None,
            CHROME.replace("Windows NT 10.0; Win64; x64", "Linux; Android 9; CUBOT X18"),
            700,
            ("unknown", ""),
        ),
        ("email.clicked", None, PROXY, 700, ("unknown", "")),
        ("page.viewed", None, CHROME, 1000, ("unknown", "")),
        (
            "page.viewed",
            None,
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            0,
            ("machine", "crawler_agent"),
        ),
        ("page.viewed", "machine", CHROME, 0, ("machine", "source_says")),
        ("form.submitted", None, "python-requests/2.32", 1000, ("unknown", "")),
        ("form.submitted", "machine", None, 0, ("machine", "source_says")),
    ],
)
def test_one_event_by_itself(signal, actor, agent, weight, said):
    found, code = judge(signal, actor, agent)
    assert (found, verdict_of(code)) == (weight, said)


@pytest.mark.parametrize(
    ("actor", "agent", "weight", "said"),
    [
        (None, None, 0, ("machine", "apple_egress")),
        (None, " Mozilla/5.0", 0, ("machine", "bare_agent")),
        (None, CHROME, 100, ("unknown", "apple_egress")),
        ("human", CHROME, 1000, ("human", "source_says")),
        (None, PROXY, 900, ("proxied", "image_proxy")),
    ],
)
def test_an_open_out_of_apples_relays(actor, agent, weight, said):
    found, code = relayed(*judge("email.opened", actor, agent), agent)
    assert (found, verdict_of(code)) == (weight, said)


def test_no_agent_of_a_person_is_a_tools():
    agents = (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Microsoft Outlook 16.0.19231; ms-office; MSOffice 16)",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Thunderbird/140.1.0",
        "Outlook-iOS/709.4567.prod.iphone (4.2435.0)",
        "Dalvik/2.1.0 (Linux; U; Android 14; SM-S911B Build/UP1A.231005.007)",
    )
    for agent in agents:
        assert [judge(signal, None, agent)[0] for signal in ("email.opened", "email.clicked")] == [300, 700], agent


def test_verdicts_of_a_later_version_read_as_no_reason():
    assert verdict_of(3 | (len(REASONS) + 5) << 3) == ("machine", "")
    for reason in REASONS:
        assert verdict_of(verdict_code("proxied", reason)) == ("proxied", reason)


def click(at, link=0, base=700, n=None):
    return bursts.Click(at, bytes([n if n is not None else at % 251]) * 16, link, [1], base, 0, base)


def weights(mail):
    return [weight for weight, _ in bursts.judged(mail)]


def test_three_links_within_three_seconds_are_a_scanner_and_two_are_not():
    assert weights(bursts.Mail(None, [click(0, 1), click(1500, 2), click(3000, 3)])) == [0, 0, 0]
    assert weights(bursts.Mail(None, [click(0, 1), click(1500, 2), click(3001, 3)])) == [700] * 3
    assert weights(bursts.Mail(None, [click(0, 1), click(1, 2), click(2, 2)])) == [700] * 3
    assert weights(bursts.Mail(None, [click(0, 1, base=1000), click(1, 2), click(2, 3), click(60_000, 1)])) == [
        0,
        0,
        0,
        700,
    ]


def test_clicks_at_delivery_are_a_scanner_when_there_are_others_with_them():
    assert weights(bursts.Mail(1000, [click(2000, 1), click(4000, 1)])) == [0, 0]
    assert weights(bursts.Mail(1000, [click(2000, 1)])) == [300]
    assert weights(bursts.Mail(1000, [click(2000, 1), click(9000, 1)])) == [300, 300]
    assert weights(bursts.Mail(60_000, [click(2000, 1), click(3000, 1)])) == [700, 700]
    assert weights(bursts.Mail(1000, [click(2000, 1, base=1000)])) == [1000]
    assert weights(bursts.Mail(1000, [click(2000, 1, base=0), click(2500, 1, base=0)])) == [0, 0]


def trap(at, n=99):
    return bursts.Click(at, bytes([n]) * 16, 9, [1], 0, bursts.TRAPPED, 0)


def test_who_clicks_what_nobody_sees_takes_the_clicks_near_it_along_whenever_it_comes():
    assert weights(bursts.Mail(None, [click(0, 1), click(59_000, 2), trap(60_000), click(120_000, 1)])) == [0, 0, 0, 0]
    assert weights(bursts.Mail(None, [click(0, 1, base=1000), trap(60_001), click(120_002, 1)])) == [1000, 0, 700]
    said = [
        verdict_of(code)
        for _, code in bursts.judged(bursts.Mail(None, [trap(0), click(1, 1), click(2, 2), click(3, 3)]))
    ]
    assert said == [("machine", "honeypot")] * 4
    assert bursts.alone(bursts.Mail(0), trap(5)) == (0, bursts.TRAPPED)


def test_evidence_is_bounded_to_the_newest():
    mails = {f"m{n}": bursts.Mail(n, [], n) for n in range(12)}
    bursts.bounded(mails)
    assert sorted(mails) == sorted(f"m{n}" for n in range(4, 12))
    mail = bursts.Mail(None, [click(n, n=n) for n in range(bursts.CLICKS_MAX + 1)])
    bursts.bounded_clicks(mail)
    assert min(one.at for one in mail.clicks) == 1
    bursts.bounded_clicks(mail)
    assert len(mail.clicks) == bursts.CLICKS_MAX
    mail.clicks += [trap(0)]
    bursts.bounded_clicks(mail)
    assert [one.verdict for one in mail.clicks].count(bursts.TRAPPED) == 1
    assert bursts.unpack(bursts.pack({"m": mail})) == {"m": mail}
    assert bursts.pack({}) is None
    assert bursts.unpack(None) == {}
