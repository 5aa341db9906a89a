"""Undo a merge: which identifiers go, which stay, and who keeps the lead's id? Points go with their identifiers."""

from collections.abc import Collection, Sequence

import msgspec

from services.directory.core.domains import is_role_mailbox
from services.scoring.core.identity import ANONYMOUS, EMAIL
from services.scoring.core.link import Lead


class Held(msgspec.Struct, frozen=True):
    """One identifier of a lead."""

    key: bytes
    kind: int
    value: str
    verified: bool
    since: int


class Parted(msgspec.Struct, frozen=True):
    """The two leads after a split; `moved` are the keys of the new one."""

    old: Lead
    new: Lead
    moved: list[bytes]


def part(lead: Lead, members: Sequence[Held], leaving: Collection[bytes]) -> Parted | str:
    """Part a lead in two.

    Args:
        members: All identifiers of the lead.
        leaving: Keys of those that belong to somebody else.

    Returns:
        The two leads, or a reason code: both need at least one strong identifier.
    """
    go = [one for one in members if one.key in leaving]
    stay = [one for one in members if one.key not in leaving]
    if len(go) != len(set(leaving)):
        return "not_a_member"
    strong = sorted((one for one in members if one.kind != ANONYMOUS), key=lambda one: (one.since, one.kind, one.key))
    if not any(one.kind != ANONYMOUS for one in go) or not any(one.kind != ANONYMOUS for one in stay):
        return "nobody_left"
    if strong[0].key in leaving:
        go, stay = stay, go  # the id stays with the oldest strong identifier
    first = min((one for one in go if one.kind != ANONYMOUS), key=lambda one: (one.kind, one.since, one.key))
    old = _made(lead.id, stay, lead)
    new = _made(first.key, go, lead)
    return Parted(old, new, sorted(one.key for one in go))


def _made(id_: bytes, members: Sequence[Held], was: Lead) -> Lead:
    strong = [one for one in members if one.kind != ANONYMOUS]
    return Lead(
        id_,
        shape=was.shape + 1,
        since=min(one.since for one in members),
        size=len(members),
        emails=sum(one.kind == EMAIL for one in members),
        kinds=sum(1 << kind for kind in {one.kind for one in strong}),
        known=any(not (one.kind == EMAIL and is_role_mailbox(one.value)) for one in strong),
    )
