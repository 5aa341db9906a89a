"""Was it a human?"""

import pytest

from services.scoring.core import bursts
from services.scoring.core.actor import REASONS, judge, verdict_code, verdict_of

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
        ("email.clicked", None, "python-requests/2.32", 0, ("machine", "crawler_agent")),
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


def test_evidence_is_bounded_to_the_newest():
    mails = {f"m{n}": bursts.Mail(n, [], n) for n in range(12)}
    bursts.bounded(mails)
    assert sorted(mails) == sorted(f"m{n}" for n in range(4, 12))
    mail = bursts.Mail(None, [click(n, n=n) for n in range(bursts.CLICKS_MAX + 1)])
    bursts.bounded_clicks(mail)
    assert min(one.at for one in mail.clicks) == 1
    bursts.bounded_clicks(mail)
    assert len(mail.clicks) == bursts.CLICKS_MAX
    assert bursts.unpack(bursts.pack({"m": mail})) == {"m": mail}
    assert bursts.pack({}) is None
    assert bursts.unpack(None) == {}
