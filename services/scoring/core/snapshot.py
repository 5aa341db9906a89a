"""What do we say of a lead? The message `lead.scored`, made of the lead's members under a policy and a directory."""

from collections.abc import Iterable
from typing import Any

from schemas.codec import CloudEvent, Message, encode
from schemas.messages import ID_KINDS, AccountRef, Cause, CurvePart, Fit, Identifier, LeadScored, PersonRef
from schemas.topics import LEAD_SCORED
from services.directory.core.match import DirectoryView, is_role_mailbox
from services.directory.core.titles import read_title
from services.policy.core.fit import fit_of
from services.policy.core.policy import Policy, SignalRule
from services.policy.core.score import curve
from services.scoring.core import traits
from services.scoring.core.actor import ACTORS, WHOLE
from services.scoring.core.companies import bounded
from services.scoring.core.counters import pairs
from services.scoring.core.emit import CauseIn, EmitIn, Member, unpack
from services.scoring.core.identity import EMAIL
from services.scoring.core.read import DAY_MS, moment

SOURCE = "/scoring"
TYPE = "leadrouter.lead.scored.v1"


class Telling:
    """Says what there is to say of leads, under one policy and one directory; remembers what many leads share."""

    def __init__(self, policy: Policy, view: DirectoryView) -> None:
        self.policy = policy
        self.view = view
        self._accounts: dict[str, AccountRef | None] = {}
        self._fits: dict[tuple[Any, ...], Fit] = {}

    def messages(self, payload: bytes) -> list[Message]:
        """The messages of one outbox row."""
        told = unpack(payload)
        return [
            message(
                self.snapshot(
                    emit, told.versions[emit.lead], [emit.only] if emit.only else told.members.get(emit.lead, [])
                )
            )
            for emit in told.emits
        ]

    def snapshot(self, emit: EmitIn, version: int, members: list[Member]) -> LeadScored:
        """The lead as its members show it."""
        made = LeadScored(
            kind=emit.kind,
            lead_id=emit.lead.hex(),
            version=version,
            as_of=moment(emit.as_of_ms),
            policy_version=self.policy.version,
            known=emit.known,
            causes=[_cause(cause) for cause in emit.causes],
            merged_into=emit.merged_into.hex() if emit.merged_into else None,
            merged_from=[lead.hex() for lead in emit.merged_from],
        )
        if emit.kind in ("merged", "erased"):
            return made
        if len(members) > 1:
            members = sorted(members, key=lambda one: (one.kind, not one.verified, one.since, one.value))
        values = traits.merged(traits.unpack(member.traits) for member in members if member.traits)
        made.members = [Identifier(kind=ID_KINDS[member.kind], value=member.value) for member in members]
        made.person = person_of(members, values, self.policy)
        made.account = self._account(made.person, values, emit.network)
        made.fit = self._fit(made.account, made.person)
        made.curve, made.windows = activity((member.state for member in members), emit.as_of_ms, self.policy)
        return made

    def _account(self, person: PersonRef, values: dict[str, Any], network: str | None) -> AccountRef | None:
        if values or network or person.email is None:
            return account_of(person, values, network, self.view)
        domain = person.email.rpartition("@")[2]
        if domain not in self._accounts:
            bounded(self._accounts)[domain] = account_of(person, values, None, self.view)
        return self._accounts[domain]

    def _fit(self, account: AccountRef | None, person: PersonRef) -> Fit:
        company = (account.industry, account.employees, account.country) if account else None
        shared = (company, person.title, person.function, person.level, person.role)
        found = self._fits.get(shared)
        if found is None:
            found = bounded(self._fits)[shared] = fit_of(account, person, self.policy)
        return found


def message(scored: LeadScored) -> Message:
    """The snapshot as a record of the log."""
    event = CloudEvent(
        id=f"{scored.lead_id}.{scored.version}",
        source=SOURCE,
        type=TYPE,
        subject=scored.lead_id,
        time=scored.as_of,
        data=scored,
    )
    return Message(topic=LEAD_SCORED.name, key=scored.lead_id.encode(), value=encode(event))


def activity(
    states: Iterable[bytes], as_of_ms: int, policy: Policy
) -> tuple[list[CurvePart], dict[str, list[tuple[int, int]]]]:
    """Points of each signal at `as_of_ms`, and the day counters that conditions read."""
    by_code = policy.by_code
    today = as_of_ms // DAY_MS
    counts: list[tuple[SignalRule, int, int]] = []
    windows: dict[str, dict[int, int]] = {}
    days = policy.window_days
    for packed in states:
        for code, day, thousandths in pairs(packed):
            rule = by_code.get(code)
            if rule is None or not thousandths:
                continue
            counts.append((rule, day, thousandths))
            wanted = days.get(rule.name)
            if wanted is not None and day > today - wanted:
                of_days = windows.setdefault(rule.name, {})
                of_days[day] = of_days.get(day, 0) + thousandths
    return curve(counts, as_of_ms), {name: sorted(found.items()) for name, found in sorted(windows.items())}


def person_of(members: list[Member], values: dict[str, Any], policy: Policy) -> PersonRef:
    """Who it is. Members come sorted: the first e-mail address is the surest and oldest."""
    emails = [member.value for member in members if member.kind == EMAIL]
    own = [email for email in emails if not is_role_mailbox(email)]
    facts = traits.person(values)
    title = read_title(facts.get("title"))
    return PersonRef(
        email=next(iter(own or emails), None),
        name=facts.get("name"),
        title=facts.get("title"),
        phone=facts.get("phone"),
        country=facts.get("country"),
        language=facts.get("language"),
        function=title.function,
        level=title.level,
        role=policy.role_of(title.function, title.level),
        role_mailbox=bool(emails) and not own,
    )


def account_of(
    person: PersonRef, values: dict[str, Any], network: str | None, view: DirectoryView
) -> AccountRef | None:
    """The company of the lead; the network that it came from says it only when nothing else does."""
    found = view.match(email=person.email, traits=traits.company(values))
    if found is not None:
        return found.account
    known = view.match(domain=network) if network else None
    if known is None or known.account.unlisted:
        return None
    known.account.matched_by = "network"
    return known.account


def _cause(cause: CauseIn) -> Cause:
    return Cause(
        event_id=cause.id.hex(),
        signal=cause.signal,
        occurred_at=moment(cause.at_ms),
        received_at=moment(cause.received_ms),
        actor=ACTORS[cause.verdict & 3],
        human=cause.weight / WHOLE,
        url=cause.url,
        path=cause.path,
        link=cause.link,
        name=cause.name,
        reversed=cause.reversed,
        visitor=cause.visitor,
    )
