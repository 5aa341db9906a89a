"""Calls to others: what they ask us to wait, where exactly we call, and names that are none."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.runtime.clock import FixedClock
from services.runtime.errors import Refused
from services.runtime.outgoing import Outgoing, dial, judged, retry_after
from services.runtime.settings import Settings
from tests.support import farside
from tests.support.farside import Answer, FarSide

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONF = Settings(_env_file=None)


def date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("2.5", 2.5),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1e9", 1e9),
        ("nan", None),
        ("", None),
        ("soon", None),
        (date(NOW + timedelta(seconds=30)), 30.0),
        (date(NOW - timedelta(seconds=30)), 0.0),
        ("Tue, 24 Nov 2026 12:00:30 -0000", 30.0),
        ("Fri, 99 Foo 2026 12:00:00 GMT", None),
    ],
)
def test_what_a_retry_after_says(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_a_date_is_read_by_the_clock_of_who_wrote_it() -> None:
    fast = NOW + timedelta(hours=2)
    told = {"retry-after": date(fast + timedelta(seconds=90)), "date": date(fast)}
    assert retry_after(told, NOW) == 90
    assert retry_after({**told, "date": "yesterday"}, NOW) == 7290


async def test_an_answer_says_how_long_to_wait() -> None:
    said = [farside.too_many(7), Answer(503, {"retry-after": date(NOW + timedelta(minutes=2))}), farside.ok()]
    async with FarSide(*said) as far:
        http = Outgoing(CONF, far.url, clock=FixedClock(NOW))
        try:
            waits = [(await http.call("POST", "", {}, b"{}")).retry_after_s for _ in said]
        finally:
            await http.close()
    assert waits == [7.0, 120.0, None]


@pytest.mark.parametrize(
    ("base", "path", "called"),
    [
        ("/hooks/leads/", "", "/hooks/leads/"),
        ("/hooks/leads", "", "/hooks/leads"),
        ("/flow?sig=a%2Fb/", "", "/flow?sig=a%2Fb/"),
        ("", "", "/"),
        ("/", "/crm/v3", "/crm/v3"),
        ("/api/", "/chat.postMessage", "/api/chat.postMessage"),
    ],
)
async def test_an_address_is_called_as_it_was_given(base: str, path: str, called: str) -> None:
    async with FarSide() as far:
        http = Outgoing(CONF, far.url + base)
        try:
            await http.call("POST", path, {}, b"{}")
        finally:
            await http.close()
    assert [one.path for one in far.requests] == [called]


@pytest.mark.parametrize(
    "none", ["", "crm.example", "crm.example/path", "https://", "https://[::1", "mailto:a@b.example"]
)
def test_what_is_no_address_is_refused_before_it_is_called(none: str) -> None:
    with pytest.raises(Refused, match="write it as https"):
        Outgoing(CONF, none)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "192.0.0.8", "192.88.99.1", "0.0.0.0", "224.0.0.1", "::", "::1",
        "::127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::169.254.169.254",
        "2002:7f00:1::", "2001:0:7f00:1::", "fc00::1", "fe80::1", "fec0::1", "5f00::1", "ff02::1", "2001:db8::1",
    ],
)  # fmt: skip
async def test_what_is_not_of_the_public_internet_is_not_called(address: str) -> None:
    with pytest.raises(Refused, match="not of the public internet"):
        await judged(address, 443, ours=[])


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::"]
)
async def test_what_is_of_the_public_internet_is_called(address: str) -> None:
    assert await judged(address, 443, ours=[])


@pytest.mark.parametrize("host", ["mail..example", f"{'a' * 64}.example", ".example"])
async def test_a_name_that_can_be_none_is_refused(host: str) -> None:
    with pytest.raises(Refused, match="no name of a host"):
        await dial(CONF, host, 25)
    http = Outgoing(CONF, f"https://{host}/hook")
    try:
        with pytest.raises(Refused, match="no name of a host"):
            await http.get("", {})
    finally:
        await http.close()
