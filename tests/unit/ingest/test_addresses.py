"""Whose address counts: the connection's, or what trusted proxies say."""

import pytest

from services.ingest.core.addresses import clean_ip, client_ip, networks

TRUSTED = networks("10.0.0.0/8, 2001:db8::/32")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("198.51.100.7", "198.51.100.7"),
        (" 198.51.100.7:443 ", "198.51.100.7"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("unknown", None),
        ("", None),
        ("999.1.1.1", None),
    ],
)
def test_clean(text: str, clean: str | None) -> None:
    assert clean_ip(text) == clean


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        (None, "198.51.100.7", None),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),  # a stranger says who it is: not believed
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),  # what stands left of it is hearsay
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("2001:db8::5", "198.51.100.7", "198.51.100.7"),
    ],
)
def test_client(peer: str | None, forwarded: str | None, seen: str | None) -> None:
    assert client_ip(peer, forwarded, TRUSTED) == seen


def test_networks() -> None:
    assert networks("") == []
    with pytest.raises(ValueError, match="not-a-network"):
        networks("10.0.0.0/8,not-a-network")
