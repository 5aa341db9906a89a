"""The flat facts that conditions read, and which names there are."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from typing_extensions import override

from schemas.messages import LeadScored
from services.policy.core.policy import Policy
from services.policy.core.score import engagement, window_count
from services.policy.core.types import Type
from services.policy.core.words import WINDOWED

FACTS: Final[dict[str, Type]] = {
    "lead.known": "bool",
    "account.known": "bool",
    "account.named": "bool",
    "account.unlisted": "bool",
    "account.domain": "string",
    "account.name": "string",
    "account.industry": "string",
    "account.employees": "int",
    "account.country": "string",
    "account.owner": "string",
    "account.matched_by": "string",
    "fit.grade": "string",
    "fit.score": "number",
    "persona.role": "string",
    "persona.function": "string",
    "persona.level": "string",
    "person.title": "string",
    "person.country": "string",
    "person.language": "string",
    "person.role_mailbox": "bool",
    "engagement.score": "number",
    "icp.industries": "strings",
    "icp.countries": "strings",
    "icp.roles": "strings",
}
MAX_WINDOW_DAYS: Final = 365


class FactNames(Mapping[str, Type]):
    """Every fact that a condition may name: the fixed ones, `signals.<name>`, `signals.<name>_<N>d`, and lower stages."""

    def __init__(self, signals: Mapping[str, Any], stages: tuple[str, ...] = ()) -> None:
        self._names: dict[str, Type] = {**FACTS}
        self._names.update({f"signals.{name}": "number" for name in signals})
        self._names.update({f"stage.{stage}": "bool" for stage in stages})

    @override
    def __getitem__(self, path: str) -> Type:
        if path in self._names:
            return self._names[path]
        match = WINDOWED.match(path)
        if match and match["signal"].startswith("signals.") and int(match["days"]) <= MAX_WINDOW_DAYS:
            return self._names[match["signal"]]
        raise KeyError(path)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @override
    def __len__(self) -> int:
        return len(self._names)


def window_of(path: str, count_days: int, signals: Mapping[str, Any]) -> tuple[str, str, int] | None:
    """For a path of counted signals: fact name without `signals.`, signal and days; None for other paths."""
    if not path.startswith("signals."):
        return None
    fact = path.removeprefix("signals.")
    match = WINDOWED.match(fact)
    if match and fact not in signals:
        return fact, match["signal"], int(match["days"])
    return fact, fact, count_days


def facts_of(scored: LeadScored, now: datetime, policy: Policy) -> dict[str, Any]:
    """The facts of a lead at `now`. What is not known is None. `stage.*` are the router's to add.

    Args:
        scored: The latest snapshot; its curve is read at `now`, its windows are summed over the days that count at `now`.
    """
    account, person, fit = scored.account, scored.person, scored.fit
    facts: dict[str, Any] = {
        "lead.known": scored.known,
        "account.known": account is not None,
        "account.named": account is not None and account.named,
        "account.unlisted": account is not None and account.unlisted,
        "account.domain": account.domain if account else None,
        "account.name": (account.name or None) if account else None,
        "account.industry": account.industry if account else None,
        "account.employees": account.employees if account else None,
        "account.country": account.country if account else None,
        "account.owner": account.owner if account else None,
        "account.matched_by": account.matched_by if account else None,
        "fit.grade": fit.grade if fit else None,
        "fit.score": fit.score if fit else None,
        "persona.role": policy.role_of(person.function, person.level) or person.role,
        "persona.function": person.function,
        "persona.level": person.level,
        "person.title": person.title,
        "person.country": person.country,
        "person.language": person.language,
        "person.role_mailbox": person.role_mailbox,
        "engagement.score": engagement(scored.curve, scored.as_of, now).score,
        "icp.industries": policy.icp.industries,
        "icp.countries": policy.icp.countries,
        "icp.roles": policy.icp.roles,
    }
    for path, signal, days in policy.window_facts:
        pairs = scored.windows.get(signal)
        facts[path] = window_count(pairs, days, now) if pairs else 0.0
    return facts
