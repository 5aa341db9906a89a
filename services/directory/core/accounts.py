"""Which account has this domain, this address, this name? The index over all accounts."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

import msgspec

from services.directory.core.domains import address, registrable
from services.directory.core.names import ALIKE, DOUBT, alikeness, company_words, distinctive
from services.directory.core.people import Account

# A word in more names than this tells nothing, and looking at all of them would stop the batch.
POSTING_MAX = 150
CANDIDATES_MAX = 5
CLEAR_LEAD = 2.0  # the best name must be this many points ahead of the second
NAME_CACHE_MAX = 20_000
_EDGE: Final = 4  # letters at either end of a name that find it in spite of a slip in the rest


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An account that a company name may mean. `score` 80 to 100; `support` names the fields that agree."""

    domain: str
    name: str
    score: float
    support: tuple[str, ...] = ()


class Accounts:
    """An immutable index of accounts; the first of two that claim the same domain or network keeps it."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_domain: dict[str, Account] = {}
        self._networks: dict[int, dict[int, dict[int, Account]]] = {4: {}, 6: {}}
        self._by_word: dict[str, list[Account]] = {}
        self._named: dict[tuple[str, str | None, str | None], Account | None] = {}
        for account in accounts:
            if self._by_domain.setdefault(account.domain, account) is not account:
                continue
            for text in account.networks:
                network = ip_network(text, strict=False)
                of_length = self._networks[network.version].setdefault(network.prefixlen, {})
                of_length.setdefault(int(network.network_address), account)
            for key in _keys(account.name):
                self._by_word.setdefault(key, []).append(account)
        # Longest prefix first: the most exact claim wins.
        self._lengths = {version: sorted(found, reverse=True) for version, found in self._networks.items()}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_domain.values())

    def __len__(self) -> int:
        return len(self._by_domain)

    def of_domain(self, domain: str) -> Account | None:
        """The account of the domain, or of the registrable domain above it."""
        found = self._by_domain.get(domain)
        if found is not None:
            return found
        name = registrable(domain)
        return None if name is None else self._by_domain.get(name)

    def of_match(self, domain: str) -> Account | None:
        """The account of a domain that an earlier match gave: registrable already, so it is looked up as it stands."""
        return self._by_domain.get(domain)

    def of_address(self, ip: str) -> Account | None:
        """The account whose own network holds the address; the longest prefix wins. One dict look-up per prefix length in use."""
        parsed = address(ip)
        if parsed is None:
            return None
        bits, number = parsed.max_prefixlen, int(parsed)
        for length in self._lengths[parsed.version]:
            shift = bits - length
            found = self._networks[parsed.version][length].get(number >> shift << shift)
            if found is not None:
                return found
        return None

    def of_name(self, company: str, country: str | None, domain: str | None) -> Account | None:
        """The one account with an alike name that the country or the domain's label supports, else None."""
        key = (company, country, domain)
        if key in self._named:
            return self._named[key]
        sure = [found for found in self.candidates(company, country, domain) if found.score >= ALIKE and found.support]
        clear = bool(sure) and (len(sure) == 1 or sure[0].score - sure[1].score >= CLEAR_LEAD)
        if len(self._named) >= NAME_CACHE_MAX:
            self._named.clear()
        answer = self._named[key] = self._by_domain[sure[0].domain] if clear else None
        return answer

    def candidates(self, company: str, country: str | None, domain: str | None) -> list[Candidate]:
        """Accounts with an alike name, best first, at most 5, whether something supports them or not."""
        label = _label(domain)
        near: dict[str, Account] = {}
        for key in _keys(company):
            found = self._by_word.get(key, ())
            if len(found) <= POSTING_MAX:
                near.update((account.domain, account) for account in found)
        ranked: list[Candidate] = []
        for account in near.values():
            score = alikeness(company, account.name)
            if score >= DOUBT:
                support = ("country",) if country and country == account.country else ()
                if label is not None and label in (_label(account.domain), "".join(company_words(account.name))):
                    support = (*support, "domain")
                ranked.append(
                    Candidate(domain=account.domain, name=account.name, score=round(score, 1), support=support)
                )
        ranked.sort(key=lambda one: (-one.score, -len(one.support), one.domain))
        return ranked[:CANDIDATES_MAX]


def _keys(name: str) -> set[str]:
    words = company_words(name)
    squashed = "".join(words)
    if not squashed:
        return set()
    # The marks keep the ends of names apart from whole words.
    return {*distinctive(words), f"^{squashed[:_EDGE]}", f"{squashed[-_EDGE:]}$", f"={squashed}"}


def _label(domain: str | None) -> str | None:
    return domain.partition(".")[0].replace("-", "") if domain else None
