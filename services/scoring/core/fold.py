"""What does a batch of events do? Counters, links, verdicts and what must be told, folded in place, one event at a time.

Every event passes here, so `take` and `_count` are written for speed: what a batch shares is looked up once before the
loop, the usual case (a known person, seen under one name) comes first, and profiles are changed in place. Anything
rarer (several identifiers, clicks of one mail, facts about the person) has a method of its own below.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

import msgspec

from services.scoring.core import bursts
from services.scoring.core.actor import judge, relayed, verdict_code
from services.scoring.core.companies import Companies
from services.scoring.core.counters import CODE_BITS, CODE_MASK
from services.scoring.core.counting import THOUSAND, Counting
from services.scoring.core.emit import CauseIn
from services.scoring.core.identity import ANONYMOUS, Ident
from services.scoring.core.link import Lead, Ties
from services.scoring.core.profile import Profile
from services.scoring.core.read import DAY_MS, Event

EVENTS_A_MINUTE: Final = 1000  # on one profile; above, it is no person
# An act that came in later than this is history, whatever it was: it scores, and nobody needs to be told at once.
ALERTABLE_MS: Final = DAY_MS
# Below this age the decay of a half-life is not worth computing for deciding whether to tell.
YOUNG_MS: Final = DAY_MS
DELETED: Final = "person.deleted"
CLICKED: Final = "email.clicked"
DELIVERED: Final = "email.delivered"
OPENED: Final = "email.opened"
MINUTE_MS: Final = 60_000
# Facts that people act on whatever the score.
TOLD_ALWAYS: Final = frozenset(("deal.won", "deal.lost", "email.unsubscribed", "email.complained"))
_FLOOD: Final = verdict_code("machine", "flood")
_TOO_OLD: Final = verdict_code("unknown", "too_old")


class Row(msgspec.Struct, gc=False, eq=False):
    """One event to be stored, and what it may cause. `signal` is the code of the event's own signal."""

    event: Event
    key: bytes
    lead: Lead | None
    signal: int
    weight: int
    verdict: int
    alert: bool = False


@dataclass(slots=True)
class Reversal:
    """An event of an earlier batch that is judged anew."""

    id: bytes
    key: bytes
    weight: int
    verdict: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What the fold must know beside the policy. All times in Unix ms.

    Attributes:
        dedupe_ms: Events that came in later than this are too old to be scored.
        first_ms, last_ms: Own times for which the event table has partitions; others are kept aside.
        relay: Whether an address is one of Apple's privacy relays. None: nobody looks.
        trap: Whether a link is one that people cannot see. None: there are none.
    """

    dedupe_ms: int
    first_ms: int
    last_ms: int
    relay: Callable[[str], bool] | None = None
    trap: Callable[[str], bool] | None = None


@dataclass(slots=True)
class Folded:
    """What the batch did.

    Attributes:
        rows: New events. `side`: those whose time has no partition. `unnamed`: those of `rows` that were nobody's.
        profiles: Those touched, by key.
        told: Leads of which something always told happened.
        alerts: Rows that are told at once, if they still count when the batch is folded.
        visitors: Profiles without a lead of which something would have to be told if they had one.
    """

    rows: dict[bytes, Row] = field(default_factory=dict)
    side: dict[bytes, Row] = field(default_factory=dict)
    unnamed: list[Row] = field(default_factory=list)
    profiles: dict[bytes, Profile] = field(default_factory=dict)
    reversals: dict[bytes, Reversal] = field(default_factory=dict)
    traits_changed: set[bytes] = field(default_factory=set)
    told: set[bytes] = field(default_factory=set)
    alerts: list[Row] = field(default_factory=list)
    visitors: set[bytes] = field(default_factory=set)
    deletions: list[Event] = field(default_factory=list)
    duplicates: int = 0
    suppressed: int = 0
    too_old: int = 0
    machines: int = 0
    newest_ms: int = 0


class Fold:
    """Folds events into profiles and ties.

    Args:
        profiles: Cache of all profiles; those that the batch needs and that exist are in it.
        seen: Whether an event id is stored already.
        suppressed: Whether an identifier asked to be forgotten; None when nobody did.
    """

    def __init__(
        self,
        *,
        counting: Counting,
        settings: Settings,
        profiles: dict[bytes, Profile],
        ties: Ties,
        seq: int,
        seen: Callable[[bytes], bool],
        suppressed: Callable[[Ident], bool] | None,
        companies: Companies,
    ) -> None:
        self.done = Folded()
        self.ties = ties
        self._counting = counting
        self._settings = settings
        self._profiles = profiles
        self._seq = seq
        self._seen = seen
        self._suppressed = suppressed
        self._companies = companies

    def take(self, events: Iterable[Event]) -> None:
        """Fold some events, in the order of the log. Written for speed: every event passes here."""
        done, ties, suppressed = self.done, self.ties, self._suppressed
        rows, side, touched = done.rows, done.side, done.profiles
        seen, profiles, links, leads, seq = self._seen, self._profiles, ties.links, ties.leads, self._seq
        first_ms, last_ms = self._settings.first_ms, self._settings.last_ms
        newest_ms = done.newest_ms
        for event in events:
            if event.signal == DELETED:
                done.deletions.append(event)
                continue
            id_ = event.id
            if id_ in rows or id_ in side or seen(id_):
                done.duplicates += 1
                continue
            idents, wire = event.idents, event.wire
            if suppressed is not None and any(map(suppressed, idents)):
                done.suppressed += 1
                continue
            trusted = wire.trust == "secret"
            first = idents[0]
            key = first.key
            lead: Lead | None = None
            link = links.get(key) if len(idents) == 1 and first.strong else None
            if link is not None and (link.verified or not trusted):
                lead = leads[link.lead]
                if lead.merged_into is not None:
                    lead = ties.root(lead)
            else:
                key, lead = ties.place(idents, event.at_ms, trusted=trusted)
                if lead is None and wire.ip is not None and first.kind == ANONYMOUS:
                    lead = self._out_of_network(event, key)
            profile = profiles.get(key)
            if profile is None:
                profile = profiles[key] = Profile(key, first.kind, first.value)
                profile.dirty = True
            profile.used = seq
            touched[key] = profile
            row = self._count(event, profile, lead)
            if first_ms <= event.own_ms < last_ms:
                rows[id_] = row
                if lead is None:
                    done.unnamed.append(row)
            else:
                side[id_] = row
            if wire.traits is not None or wire.account is not None:
                self._learn(event, profile, lead, trusted=trusted)
            newest_ms = max(newest_ms, event.received_ms)
        done.newest_ms = newest_ms

    # -- one event

    def _out_of_network(self, event: Event, key: bytes) -> Lead | None:
        domain = self._companies.named_by_ip(event.wire.ip or "")
        if domain is None or judge(event.signal, event.wire.actor, event.wire.user_agent)[0] == 0:
            return None
        return self.ties.visitor(event.idents[0], key, event.at_ms, domain)

    def _count(self, event: Event, profile: Profile, lead: Lead | None) -> Row:  # noqa: PLR0915 the hot path, in one piece
        wire, signal, at_ms, settings = event.wire, event.signal, event.at_ms, self._settings
        counted = self._counting.plain.get(signal)
        if counted is None:
            counted = self._counting.of(signal, wire.path, wire.name, wire.link or wire.url)
        age_ms = event.received_ms - at_ms
        if age_ms > settings.dedupe_ms:
            self.done.too_old += 1
            return Row(event, profile.key, lead, counted.code, 0, _TOO_OLD)
        weight, verdict = judge(signal, wire.actor, wire.user_agent)
        if signal == OPENED:
            if wire.ip is not None and weight and settings.relay is not None and settings.relay(wire.ip):
                weight, verdict = relayed(weight, verdict, wire.user_agent)
        elif signal == CLICKED and settings.trap is not None and settings.trap(wire.link or wire.url or ""):
            weight, verdict = 0, bursts.TRAPPED
        minute = at_ms // MINUTE_MS
        if minute != profile.minute:
            profile.minute, profile.minute_n = minute, 1
        else:
            profile.minute_n += 1
            if profile.minute_n > EVENTS_A_MINUTE:
                weight, verdict = 0, _FLOOD
        day = at_ms // DAY_MS
        if day > profile.seen_day:
            profile.seen_day = day
            profile.dirty = True
        row = Row(event, profile.key, lead, counted.code, weight, verdict)
        day <<= CODE_BITS
        if signal == CLICKED:
            if weight or verdict == bursts.TRAPPED:
                self._click(row, profile, [day | part[0] for part in counted.parts])
                weight = row.weight
        elif signal == DELIVERED:
            self._delivered(row, profile)
        if not weight:
            self.done.machines += 1
            return row
        profile.dirty = True
        state, index = profile.state, profile.index
        for code, points, most, half_life_s in counted.parts:
            counter = day | code
            at = index.get(counter)
            if at is None:
                before, after = 0, weight
                index[counter] = len(state) + 1
                state.append(counter)
                state.append(weight)
            else:
                before = state[at]
                after = state[at] = before + weight
            if points and before < most:
                gained = ((after if after < most else most) - before) * points
                profile.gain(gained if age_ms < YOUNG_MS else gained * 2.0 ** (age_ms / -1000 / half_life_s))
        if lead is None:
            if counted.others:
                self.done.visitors.add(profile.key)
        else:
            if signal in TOLD_ALWAYS:
                self.done.told.add(lead.id)
            if counted.tells and age_ms < ALERTABLE_MS and row.verdict == verdict:
                named = lead.account is not None and self._companies.is_named(lead.account)
                if counted.named if named else counted.others:
                    row.alert = True
                    self.done.alerts.append(row)
        return row

    def _learn(self, event: Event, profile: Profile, lead: Lead | None, *, trusted: bool) -> None:
        if not profile.learn(event.wire, verified=trusted, at=event.at_ms) or lead is None:
            return
        self.done.traits_changed.add(lead.id)
        domain = self._companies.of_traits(profile)
        if domain is not None and domain != lead.account and (lead.account is None or self._companies.is_named(domain)):
            self.ties.touch(lead)
            lead.account = domain

    # -- clicks are judged together

    def _click(self, row: Row, profile: Profile, counters: list[int]) -> None:
        event, wire = row.event, row.event.wire
        mail = self._mail(row, profile)
        link = crc32((wire.link or wire.url or event.envelope_id).encode("utf-8", "replace"))
        click = bursts.Click(event.at_ms, event.id, link, counters, row.weight, row.verdict, 0)
        mail.clicks.append(click)
        if len(mail.clicks) == 1:
            row.weight, row.verdict = bursts.alone(mail, click)
            click.weight = row.weight
            return
        self._judge_again(mail, profile, click, row)
        # The caller counts the new click itself.
        row.weight = click.weight
        bursts.bounded_clicks(mail)

    def _delivered(self, row: Row, profile: Profile) -> None:
        if row.event.wire.message_id is None and row.event.wire.campaign is None:
            return
        mail = self._mail(row, profile)
        at = row.event.at_ms
        if mail.delivered is None or at < mail.delivered:
            mail.delivered = at
            if mail.clicks:
                self._judge_again(mail, profile, None, row)

    @staticmethod
    def _mail(row: Row, profile: Profile) -> bursts.Mail:
        wire, at = row.event.wire, row.event.at_ms
        name = (wire.message_id or wire.campaign or "")[: bursts.NAME_MAX]
        mails = profile.mails
        mail = mails.get(name)
        if mail is None:
            mail = mails[name] = bursts.Mail(None, [], at)
        elif at > mail.last:
            mail.last = at
        profile.mails_changed()
        return mail

    def _judge_again(self, mail: bursts.Mail, profile: Profile, new: bursts.Click | None, row: Row) -> None:
        """Apply what the evidence now says of every click; the new one is only told its weight."""
        done = self.done
        for click, (weight, verdict) in zip(mail.clicks, bursts.judged(mail), strict=True):
            if click is new:
                click.weight = weight
                row.verdict = verdict
                continue
            if click.weight == weight:
                continue
            self._settle(profile, click, weight)
            stored = done.rows.get(click.id) or done.side.get(click.id)
            if stored is not None:
                stored.weight, stored.verdict = weight, verdict
                stored.alert = stored.alert and verdict == click.verdict
            else:
                done.reversals[click.id] = Reversal(click.id, profile.key, weight, verdict, click.at)

    def _settle(self, profile: Profile, click: bursts.Click, weight: int) -> None:
        by_code = self._counting.policy.by_code
        for counter in click.counters:
            before, after = profile.add(counter, weight - click.weight)
            rule = by_code.get(counter & CODE_MASK)
            if rule is not None and rule.points:
                most = rule.daily_cap * THOUSAND
                profile.gain((min(after, most) - min(before, most)) * rule.points)
        click.weight = weight


def cause(row: Row) -> CauseIn:
    """A stored event as a cause."""
    event, wire = row.event, row.event.wire
    weakest = event.idents[-1]
    return CauseIn(
        event.id, event.signal, event.at_ms, event.received_ms, row.weight, row.verdict, wire.url, wire.path, wire.link,
        wire.name, False, weakest.value if weakest.kind == ANONYMOUS else None,
    )  # fmt: skip
