"""Who belongs together? Identifiers are linked to leads; leads are joined only on evidence that a source vouches for.

A forwarded mail must not make one person of two: when a cookie that belongs to somebody is seen with another person's
identifier, its later events go to a new profile (a generation of the cookie) of that other person.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import msgspec

from services.scoring.core.identity import ANONYMOUS, EMAIL, Ident, generation_key

# How a link came to be; stored: never renumber.
SELF: Final = 0
TOGETHER: Final = 1
NETWORK: Final = 2
MERGE: Final = 3
SPLIT: Final = 4
HOWS: Final = ("self", "together", "network", "merge", "split")

# Segment-type systems use the same kind of limits; beyond them it is a shared machine or a test account.
SIZE_MAX: Final = 50
EMAILS_MAX: Final = 5
TURNS_MAX: Final = 20


class Link(msgspec.Struct, gc=False):
    """The lead of one identifier. `lead` is read through `Ties.lead_of`, which follows merges."""

    key: bytes
    kind: int
    value: str
    lead: bytes
    how: int
    verified: bool
    since: int
    turns: list[int] = []
    seq: int = 0


class Lead(msgspec.Struct, gc=False):
    """What the fold needs to know of a lead.

    Attributes:
        shape: Rises with every change below; what was read ahead is checked against it.
        kinds: Bit per strong kind of identifier that it holds.
        account: Domain of its account, or None. `network`: the account whose network it came from.
        seq: The last batch that changed it.
    """

    id: bytes
    shape: int = 1
    since: int = 0
    size: int = 0
    emails: int = 0
    kinds: int = 0
    known: bool = False
    account: str | None = None
    network: str | None = None
    merged_into: bytes | None = None
    seq: int = 0


@dataclass(slots=True)
class Changes:
    """What a batch does to links and leads.

    Attributes:
        moved: Key to the lead that the stored row names.
        turned: (cookie's key, turns before, instant).
        touched: Stored lead to the shape that its row must have.
        joined: Cookies that were just linked: (key, lead).
        changed: Leads whose identity changed: their members, what is known.
        refused: Reason to how often joining was refused.
    """

    linked: dict[bytes, Link] = field(default_factory=dict)
    moved: dict[bytes, bytes] = field(default_factory=dict)
    turned: list[tuple[bytes, int, int]] = field(default_factory=list)
    touched: dict[bytes, int] = field(default_factory=dict)
    created: dict[bytes, Lead] = field(default_factory=dict)
    merged: list[tuple[Lead, Lead]] = field(default_factory=list)
    joined: list[tuple[bytes, bytes]] = field(default_factory=list)
    changed: set[bytes] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)


class Ties:
    """Links and leads of one batch, changed in place.

    Args:
        links, leads: What was read ahead, with what earlier batches in flight have changed.
        seq: Number of this batch.
        account_of: Domain of the account of an e-mail address, or None.
        apart: Pairs of leads that somebody parted by hand: nothing that comes in joins them again.
    """

    def __init__(
        self,
        links: dict[bytes, Link],
        leads: dict[bytes, Lead],
        seq: int,
        account_of: Callable[[str], str | None],
        apart: Collection[frozenset[bytes]] = (),
    ) -> None:
        self.links = links
        self.leads = leads
        self.changes = Changes()
        self._seq = seq
        self._account_of = account_of
        self._apart = apart

    def root(self, lead: Lead) -> Lead:
        """The lead that lives on."""
        while lead.merged_into is not None:
            lead = self.leads[lead.merged_into]
        return lead

    def lead_of(self, key: bytes) -> Lead | None:
        """The lead of a profile, or None: a visitor."""
        link = self.links.get(key)
        return None if link is None else self.root(self.leads[link.lead])

    def cookie(self, ident: Ident, at: int) -> bytes:
        """The profile of a browser at an instant: it may have passed from one person to another."""
        link = self.links.get(ident.key)
        if link is None or not link.turns:
            return ident.key
        return generation_key(ident.value, bisect_right(link.turns, at))

    def place(self, idents: tuple[Ident, ...], at: int, *, trusted: bool) -> tuple[bytes, Lead | None]:
        """The profile that gets an event's points, and its lead, after taking what the event says of who is who."""
        first, last = idents[0], idents[-1]
        if last.kind == ANONYMOUS and first.strong:
            # By far the most: a person and the browser that is known to be theirs.
            one, two = self.links.get(first.key), self.links.get(last.key)
            same = one is not None and two is not None and len(idents) == 2 and one.lead == two.lead and not two.turns
            if one is not None and two is not None and same and (not trusted or (one.verified and two.verified)):
                return first.key, self.root(self.leads[one.lead])
        if not first.strong:
            key = self.cookie(first, at)
            return key, self.lead_of(key)
        people = [ident for ident in idents if ident.strong and not ident.role]
        if first.role or len(idents) == 1 or not people:
            return first.key, self._alone(first, at, trusted=trusted)
        lead = self._people(people, at, trusted=trusted)
        if last.kind == ANONYMOUS:
            lead = self._browser(last, lead, at, trusted=trusted)
        return first.key, lead

    def visitor(self, ident: Ident, key: bytes, at: int, account: str) -> Lead:
        """A visitor out of a named account's network becomes a lead, though nobody can say who it is."""
        lead = Lead(key, since=at, account=account, network=account, seq=self._seq)
        self.leads[key] = self.changes.created[key] = lead
        self._attach(lead, ident, key, NETWORK, at, verified=False)
        return lead

    # -- people

    def _alone(self, ident: Ident, at: int, *, trusted: bool) -> Lead:
        link = self.links.get(ident.key)
        if link is None:
            return self._create(ident, at, trusted=trusted)
        if trusted and not link.verified:
            self._vouch(link)
        return self.root(self.leads[link.lead])

    def _create(self, ident: Ident, at: int, *, trusted: bool) -> Lead:
        lead = Lead(ident.key, since=at, seq=self._seq)
        if ident.kind == EMAIL:
            lead.account = self._account_of(ident.value)
        self.leads[lead.id] = self.changes.created[lead.id] = lead
        self._attach(lead, ident, ident.key, SELF, at, verified=trusted)
        return lead

    def _people(self, people: list[Ident], at: int, *, trusted: bool) -> Lead:
        found = [(ident, self.links.get(ident.key)) for ident in people]
        linked = [(ident, link) for ident, link in found if link is not None]
        # A link that a source vouches for says more than one that a browser claimed.
        base = next((link for _, link in linked if link.verified), linked[0][1] if linked else None)
        lead = self._create(people[0], at, trusted=trusted) if base is None else self.root(self.leads[base.lead])
        for ident, _ in found:
            link = self.links.get(ident.key)
            if link is None:
                self._attach(lead, ident, ident.key, TOGETHER, at, verified=trusted)
            elif trusted:
                other = self.root(self.leads[link.lead])
                if other is not lead:
                    if not link.verified and other.id != ident.key:
                        self._move(link, other, lead)
                    else:
                        lead = self._merge(lead, other)
                if not link.verified:
                    self._vouch(link)
        return lead

    def _browser(self, ident: Ident, lead: Lead, at: int, *, trusted: bool) -> Lead:
        key = self.cookie(ident, at)
        link = self.links.get(key)
        if link is None:
            if self._attach(lead, ident, key, TOGETHER, at, verified=trusted):
                self.changes.joined.append((key, lead.id))
            return lead
        other = self.root(self.leads[link.lead])
        if other is lead:
            if trusted and not link.verified:
                self._vouch(link)
            return lead
        joins = not other.kinds or (trusted and link.verified and not lead.kinds & other.kinds)
        if joins and not self._kept_apart(lead, other):
            return self._merge(lead, other)
        self._turn(ident, lead, link, at, trusted=trusted)
        return lead

    def _turn(self, ident: Ident, lead: Lead, current: Link, at: int, *, trusted: bool) -> None:
        base = self.links[ident.key]
        if at <= current.since or (base.turns and at <= base.turns[-1]):
            return  # news from before the browser passed on changes nothing
        if len(base.turns) >= TURNS_MAX:
            self.changes.refused["too_many_turns"] += 1
            return
        key = generation_key(ident.value, len(base.turns) + 1)
        if key not in self.links and self._attach(lead, ident, key, TOGETHER, at, verified=trusted):
            self.changes.turned.append((ident.key, len(base.turns), at))
            base.turns = [*base.turns, at]
            base.seq = self._seq

    # -- the changes themselves

    def touch(self, lead: Lead) -> None:
        """The lead's row will be written."""
        if lead.seq != self._seq:
            self.changes.touched[lead.id] = lead.shape
            lead.shape += 1
            lead.seq = self._seq
        self.changes.changed.add(lead.id)

    def _attach(self, lead: Lead, ident: Ident, key: bytes, how: int, at: int, *, verified: bool) -> bool:
        if lead.size >= SIZE_MAX or (ident.kind == EMAIL and lead.emails >= EMAILS_MAX):
            self.changes.refused["too_many_identifiers"] += 1
            return False
        self.touch(lead)
        link = Link(key, ident.kind, ident.value, lead.id, how, verified, at, [], self._seq)
        self.links[key] = self.changes.linked[key] = link
        lead.size += 1
        if ident.strong:
            lead.kinds |= 1 << ident.kind
            lead.known |= not ident.role
            if ident.kind == EMAIL:
                lead.emails += 1
                lead.account = lead.account or self._account_of(ident.value)
        return True

    def _stored(self, link: Link) -> None:
        if link.key not in self.changes.linked and link.key not in self.changes.moved:
            lead = self.leads[link.lead]
            # The stored row has followed the merges of earlier batches, and none of this one.
            while lead.merged_into is not None and lead.seq < self._seq:
                lead = self.leads[lead.merged_into]
            self.changes.moved[link.key] = lead.id
        link.seq = self._seq

    def _vouch(self, link: Link) -> None:
        self._stored(link)
        link.verified = True

    def _kept_apart(self, one: Lead, other: Lead) -> bool:
        if not self._apart or frozenset((one.id, other.id)) not in self._apart:
            return False
        self.changes.refused["parted_by_hand"] += 1
        return True

    def _move(self, link: Link, old: Lead, new: Lead) -> None:
        if self._kept_apart(old, new):
            return
        if new.size >= SIZE_MAX or (link.kind == EMAIL and new.emails >= EMAILS_MAX):
            self.changes.refused["too_many_identifiers"] += 1
            return
        self._stored(link)
        self.touch(old)
        self.touch(new)
        link.lead, link.how = new.id, TOGETHER
        old.size -= 1
        new.size += 1
        new.kinds |= 1 << link.kind
        if link.kind == EMAIL:
            old.emails -= 1
            new.emails += 1

    def _merge(self, lead: Lead, other: Lead) -> Lead:
        if self._kept_apart(lead, other):
            return lead
        if lead.size + other.size > SIZE_MAX or lead.emails + other.emails > EMAILS_MAX:
            self.changes.refused["too_many_identifiers"] += 1
            return lead
        winner, loser = sorted((lead, other), key=lambda one: (not one.known, one.since, one.id))
        self.touch(winner)
        self.touch(loser)
        loser.merged_into = winner.id
        winner.size += loser.size
        winner.emails += loser.emails
        winner.kinds |= loser.kinds
        winner.known |= loser.known
        winner.account = winner.account or loser.account
        winner.network = winner.network or loser.network
        self.changes.merged.append((loser, winner))
        return winner
