"""Does an address belong to Apple's privacy relays? Sorted ranges, asked for opens of e-mails only."""

from bisect import bisect_right
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Final

NETWORKS_MAX: Final = 100_000
REMEMBERED_MAX: Final = 20_000


class BadNetworks(ValueError):
    """The text is no list of networks; says the line."""


class Relays:
    """Networks as sorted ranges of numbers, IPv4 and IPv6 apart.

    Args:
        text: A network a line, as in Apple's egress-ip-ranges.csv: what follows the first comma, empty lines and lines
            that begin with # are skipped.

    Raises:
        BadNetworks: A line is no network, or there are none, or too many.
    """

    def __init__(self, text: str) -> None:
        four, six = _read(text)
        ranges = {
            4: sorted((int(one[0]), int(one[-1])) for one in collapse_addresses(four)),
            6: sorted((int(one[0]), int(one[-1])) for one in collapse_addresses(six)),
        }
        self._firsts = {version: [first for first, _ in some] for version, some in ranges.items()}
        self._lasts = {version: [last for _, last in some] for version, some in ranges.items()}
        self.holds = lru_cache(REMEMBERED_MAX)(self._holds)

    def _holds(self, address: str) -> bool:
        """Whether one of the networks has this address; what is no address is in none."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        at = bisect_right(self._firsts[ip.version], int(ip)) - 1
        return at >= 0 and int(ip) <= self._lasts[ip.version][at]


def _read(text: str) -> tuple[list[IPv4Network], list[IPv6Network]]:
    four: list[IPv4Network] = []
    six: list[IPv6Network] = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.partition(",")[0].strip()
        if not word or word.startswith("#"):
            continue
        if len(four) + len(six) >= NETWORKS_MAX:
            msg = f"line {number}: more than {NETWORKS_MAX} networks"
            raise BadNetworks(msg)
        try:
            network = ip_network(word, strict=False)
        except ValueError as error:
            msg = f"line {number}: {error}"
            raise BadNetworks(msg) from error
        if isinstance(network, IPv4Network):
            four.append(network)
        else:
            six.append(network)
    if not four and not six:
        msg = "there is no network in it"
        raise BadNetworks(msg)
    return four, six
