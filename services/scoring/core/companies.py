"""Which company, and is it a named account? The directory's answers, remembered while its picture is the same."""

from typing import TypeVar

from services.directory.core.match import DirectoryView
from services.scoring.core import traits
from services.scoring.core.profile import Profile

MOST = 100_000
K = TypeVar("K")
V = TypeVar("V")


class Companies:
    """Answers of one directory view. Make a new one for a new view."""

    def __init__(self, view: DirectoryView) -> None:
        self.view = view
        self._named: dict[str, bool] = {}
        self._addresses: dict[str, str | None] = {}
        self._domains: dict[str, str | None] = {}

    def is_named(self, domain: str) -> bool:
        """Whether the domain's account is a named one."""
        found = self._named.get(domain)
        if found is None:
            account = self.view.account(domain)
            found = bounded(self._named)[domain] = account is not None and account.named
        return found

    def named_by_ip(self, ip: str) -> str | None:
        """Domain of the named account whose own network holds the address."""
        if ip not in self._addresses:
            found = self.view.match(ip=ip)
            named = found is not None and found.how == "network" and found.account.named
            bounded(self._addresses)[ip] = found.account.domain if found is not None and named else None
        return self._addresses[ip]

    def of_email(self, email: str) -> str | None:
        """Domain of the address's company; None for freemail."""
        domain = email.rpartition("@")[2]
        if domain not in self._domains:
            found = self.view.match(email=email)
            bounded(self._domains)[domain] = found.account.domain if found else None
        return self._domains[domain]

    def of_traits(self, profile: Profile) -> str | None:
        """Domain of the company that the profile's own facts name."""
        values = {name: trait.value for name, trait in profile.traits.items()}
        found = self.view.match(traits=traits.company(values))
        return found.account.domain if found else None


def bounded(cache: dict[K, V]) -> dict[K, V]:
    """The cache, emptied when it is full."""
    if len(cache) >= MOST:
        cache.clear()
    return cache
