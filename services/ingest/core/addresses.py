"""Where does a request come from? IP addresses and proxies that may speak for others."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Networks = Sequence[IPv4Network | IPv6Network]


def networks(text: str) -> Networks:
    """A comma list of networks or addresses.

    Raises:
        ValueError: One of them is no network.
    """
    return [ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]


@lru_cache(maxsize=16_384)
def clean_ip(text: str) -> str | None:
    """The address in its usual form, without zone, port or brackets; None when it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def client_ip(peer: str | None, forwarded_for: str | None, trusted: Networks) -> str | None:
    """The address of the client.

    Args:
        peer: Who holds the connection.
        forwarded_for: The header `X-Forwarded-For`; believed only as far as trusted proxies wrote it, from the right.
    """
    at = clean_ip(peer) if peer else None
    if at is None or not forwarded_for or not _in(at, trusted):
        return at
    for hop in reversed(forwarded_for.split(",")[-16:]):
        address = clean_ip(hop)
        if address is None:
            return at
        at = address
        if not _in(at, trusted):
            return at
    return at


def _in(address: str, trusted: Networks) -> bool:
    made = ip_address(address)
    return any(made in network for network in trusted)
