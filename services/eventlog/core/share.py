"""Which partitions should this process take, and which give away? Fair shares, moved as little as possible."""

from collections.abc import Collection, Mapping

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """What one owner should do now. `take` in the order to try; `give` once its work on them is done."""

    take: tuple[int, ...] = ()
    give: tuple[int, ...] = ()


def targets(parts: int, held: Mapping[str, int]) -> dict[str, int]:
    """How many partitions each live owner should end up with.

    Args:
        parts: Number of partitions, at least 1.
        held: Live owner to how many partitions it holds now; owners that hold none are there with 0.

    Returns:
        Shares that differ by at most one and sum to `parts`. Who holds more keeps the larger share, so that nothing
        moves without need; equals go by name, so that all owners compute the same.
    """
    base, more = divmod(parts, len(held))
    ranked = sorted(held, key=lambda owner: (-held[owner], owner))
    return {owner: base + (1 if rank < more else 0) for rank, owner in enumerate(ranked)}


def plan(owners: Mapping[int, str | None], live: Collection[str], me: str) -> Plan:
    """What `me` should take and give.

    Args:
        owners: Each partition to its live owner, None when it is free or its lease has run out.
        live: Owners known to live; `me` counts as live in any case.
        me: Our own name.
    """
    held = dict.fromkeys([*live, me], 0)
    for owner in owners.values():
        if owner is not None:
            held[owner] = held.get(owner, 0) + 1
    share = targets(len(owners), held)[me]
    mine = sorted(part for part, owner in owners.items() if owner == me)
    if len(mine) > share:
        return Plan(give=tuple(mine[share:]))
    free = sorted(part for part, owner in owners.items() if owner is None)
    # Owners that start together begin at different places, so that they seldom reach for the same partition.
    turn = sorted(held).index(me) * len(free) // len(held) if free else 0
    return Plan(take=tuple((free[turn:] + free[:turn])[: share - len(mine)]))
