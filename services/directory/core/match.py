"""Which account is this? One immutable picture of accounts, reps and pools, with the questions that stages ask of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from schemas.messages import AccountRef
from services.directory.core.accounts import Accounts, Candidate
from services.directory.core.calendar import (
    Availability,
    WorkCalendar,
    after_working_minutes,
    availability,
    start_of_working_day,
    working_minutes,
)
from services.directory.core.domains import (
    corporate_domain,
    email_domain,
    is_disposable,
    is_freemail,
    is_role_mailbox,
    registrable,
)
from services.directory.core.hours import Hours
from services.directory.core.names import NAME_MAX
from services.directory.core.people import Account, Member, Pool, Rep
from services.directory.core.traits import company_facts

__all__ = [
    "Account", "Candidate", "DirectoryView", "How", "Match", "Member", "Pool", "Problem", "Rep", "corporate_domain", "email_domain",
    "is_disposable", "is_freemail", "is_role_mailbox", "registrable",
]  # fmt: skip

How = Literal["email", "account", "network", "name"]


class Match(msgspec.Struct, frozen=True):
    """The account of a lead and what told us: its `how` is also `account.matched_by`."""

    account: AccountRef
    how: How


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the directory that points at nobody. `code` is stable; `text` says what and how to mend it."""

    code: Literal[
        "owner_unknown",
        "owner_inactive",
        "member_unknown",
        "member_inactive",
        "manager_unknown",
        "manager_inactive",
        "pool_empty",
        "calendar_unreadable",
    ]
    subject: str
    rep: str | None
    text: str


class DirectoryView:
    """Accounts, reps and pools at one version. Never changes; a new version is a new view.

    Args:
        accounts: The accounts, or an index made before (it is kept when only people changed).
        reps: Everybody, those who left included: their ids still stand in old records.
        pools: Teams; a member that is no rep stays in the pool and is never available.
        version: Rises with every change of the directory.
    """

    def __init__(
        self,
        accounts: Iterable[Account] | Accounts = (),
        reps: Iterable[Rep] = (),
        pools: Iterable[Pool] = (),
        version: int = 0,
    ) -> None:
        self.accounts = accounts if isinstance(accounts, Accounts) else Accounts(accounts)
        self.reps: Mapping[str, Rep] = MappingProxyType({rep.id: rep for rep in reps})
        self.pools: Mapping[str, Pool] = MappingProxyType({pool.name: pool for pool in pools})
        self.version = version
        self._calendars: dict[str, WorkCalendar] = {}
        self._unreadable: dict[str, str] = {}
        for rep in self.reps.values():
            try:
                self._calendars[rep.id] = WorkCalendar.of(rep)
            except (
                ValueError
            ) as error:  # checked when it was written, but time zones and holidays come and go with releases
                self._calendars[rep.id] = WorkCalendar(hours=Hours())
                self._unreadable[rep.id] = str(error)
        # The last answer for each rep and the time for which it holds: a router asks the same thing 10,000 times a second.
        self._last: dict[str, tuple[datetime, Availability]] = {}

    def account(self, domain: str) -> Account | None:
        """The account of a domain or one of its subdomains."""
        return self.accounts.of_domain(domain)

    def rep(self, rep_id: str) -> Rep | None:
        """The rep, also one who has left (`active` is False)."""
        return self.reps.get(rep_id)

    def pool(self, name: str) -> Pool | None:
        """The pool of that name."""
        return self.pools.get(name)

    def match(
        self,
        *,
        email: str | None = None,
        domain: str | None = None,
        company: str | None = None,
        ip: str | None = None,
        country: str | None = None,
        traits: Mapping[str, Any] | None = None,
    ) -> Match | None:
        """The account of a lead, from whatever is known of it. The surest evidence wins.

        In this order: the domain of a company mailbox; a domain that the source itself names; the company's name when it is
        alike and the country or the domain agrees; the account's own network, unless the lead has a company mailbox
        elsewhere (a visitor at the reception is not staff). A company domain that the directory does not hold gives an
        account with `unlisted` set and the facts of `traits`.

        Args:
            email: The lead's address; freemail and throw-away domains say nothing.
            domain: Domain or website that the source gives for the company.
            company: Company name in the lead's own words.
            ip: Address of a visit; IPv4 or IPv6.
            country: The lead's country, two letters.
            traits: The lead's traits; `company`, `domain`, `country` are taken from them where not given.

        Returns:
            None when nothing points at a company.
        """
        facts = company_facts(traits)
        company, country = (company or facts.company or "")[:NAME_MAX], (country or facts.country or "").upper() or None
        mail = corporate_domain(email) if email else None
        site = self._corporate(domain or facts.domain)
        hows: tuple[tuple[str | None, How], ...] = ((mail, "email"), (site, "account"))
        for name, how in hows:
            if name is not None and (known := self.accounts.of_domain(name)) is not None:
                return Match(reference(known, how), how)
        if company and (known := self.accounts.of_name(company, country, mail or site)) is not None:
            return Match(reference(known, "name"), "name")
        for name, how in hows:
            if name is not None:
                return Match(facts.reference(name, how, country), how)
        if ip and (known := self.accounts.of_address(ip)) is not None:
            return Match(reference(known, "network"), "network")
        return None

    def candidates(self, company: str, *, country: str | None = None, domain: str | None = None) -> list[Candidate]:
        """Accounts that a company name may mean, best first, for a person to decide: alike, but not surely the same."""
        return self.accounts.candidates(
            company[:NAME_MAX], country.upper() if country else None, self._corporate(domain)
        )

    def available(self, rep_id: str, now: datetime) -> Availability:
        """May this rep get something now?

        Args:
            now: Aware.

        Returns:
            `code` is one of available, unknown, inactive, absent, holiday, outside_hours; `until` says when the answer
            changes, None when it never does.
        """
        last = self._last.get(rep_id)
        if last is not None and last[0] <= now and (last[1].until is None or now < last[1].until):
            return last[1]
        rep = self.reps.get(rep_id)
        if rep is None:
            return Availability(False, "unknown", f"{rep_id}: no such rep", None)
        answer = availability(rep, self._calendars[rep_id], now)
        self._last[rep_id] = (now, answer)
        return answer

    def working_minutes(self, rep_id: str, start: datetime, end: datetime) -> float:
        """Minutes between two instants in which the rep works; all of them for an unknown rep, so that a clock never stops."""
        calendar = self._calendars.get(rep_id)
        return (
            max(0.0, (end - start).total_seconds() / 60) if calendar is None else working_minutes(calendar, start, end)
        )

    def after_working_minutes(self, rep_id: str, start: datetime, minutes: float) -> datetime | None:
        """The instant at which `minutes` of the rep's work have passed since `start`; None when that never comes (2 years)."""
        return after_working_minutes(self._calendars.get(rep_id, WorkCalendar()), start, minutes)

    def start_of_working_day(self, rep_id: str, start: datetime, days: int) -> datetime | None:
        """When the rep's work begins on the `days`-th (1 or more) working day after that of `start`; None: never (2 years)."""
        return start_of_working_day(self._calendars.get(rep_id, WorkCalendar()), start, days)

    def problems(self) -> list[Problem]:
        """What points at somebody who is not there, accounts first; empty when all is well."""
        found: list[Problem] = []
        for account in self.accounts:
            if account.owner is not None:
                found += self._dangling("owner", account.domain, account.owner, f"account {account.domain}: owner")
        for pool in self.pools.values():
            for member in pool.members:
                found += self._dangling("member", pool.name, member.rep, f"pool {pool.name}: member")
            if not any(self._is_active(member.rep) for member in pool.members):
                text = f"pool {pool.name} has nobody who can take a lead; add an active rep"
                found.append(Problem(code="pool_empty", subject=pool.name, rep=None, text=text))
        for rep in self.reps.values():
            if rep.active and rep.manager is not None:
                found += self._dangling("manager", rep.id, rep.manager, f"rep {rep.id}: manager")
            if rep.id in self._unreadable:
                text = f"rep {rep.id} is offered nothing: {self._unreadable[rep.id]}"
                found.append(Problem(code="calendar_unreadable", subject=rep.id, rep=rep.id, text=text))
        return found

    def pointing_at(self, rep_id: str) -> list[str]:
        """In words, what would be left without a person if this rep went: accounts, pools, reps to lead."""
        owned = sorted(account.domain for account in self.accounts if account.owner == rep_id)
        shown = ", ".join(owned[:5]) + (f" and {len(owned) - 5} more" if len(owned) > 5 else "")
        found = [f"owns {len(owned)} account(s): {shown}"] if owned else []
        found += [f"sits in pool {pool.name}" for pool in self.pools.values() if rep_id in pool.weights]
        return found + [f"is manager of {rep.id}" for rep in self.reps.values() if rep.active and rep.manager == rep_id]

    def _is_active(self, rep_id: str) -> bool:
        rep = self.reps.get(rep_id)
        return rep is not None and rep.active

    def _dangling(
        self, part: Literal["owner", "member", "manager"], subject: str, rep_id: str, where: str
    ) -> list[Problem]:
        if self._is_active(rep_id):
            return []
        state: Literal["unknown", "inactive"] = "inactive" if rep_id in self.reps else "unknown"
        words = "has left" if state == "inactive" else "is no rep"
        text = f"{where} {rep_id} {words}; choose somebody else"
        return [Problem(code=f"{part}_{state}", subject=subject, rep=rep_id, text=text)]  # type: ignore[arg-type]  # a product of two Literals

    @staticmethod
    def _corporate(domain: str | None) -> str | None:
        name = registrable(domain) if domain else None
        return None if name is None or is_freemail(name) or is_disposable(name) else name


def reference(account: Account, how: How) -> AccountRef:
    """The account as messages carry it."""
    return AccountRef(
        domain=account.domain,
        name=account.name,
        named=account.named,
        industry=account.industry,
        employees=account.employees,
        country=account.country,
        owner=account.owner,
        matched_by=how,
    )
