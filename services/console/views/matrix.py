"""Who works which stage of which segment? The sales matrix, drawn from the policy, with the leads that stand in it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from schemas.messages import Stage
from services.policy.core.policy import Policy, Segment
from services.router.core.model import rung

Tone = Literal["marketing", "shop", "owner", "pool", "off", "end"]

STAGES: Final[tuple[Stage, ...]] = ("unknown", "identified", "qualified", "ready_to_buy", "customer")
NAMES: Final[Mapping[str, str]] = {
    "unknown": "Finding and identifying",
    "identified": "Identified",
    "qualified": "Qualified",
    "ready_to_buy": "Ready to buy",
    "customer": "Customer",
}
ABOUT: Final[Mapping[str, str]] = {
    "unknown": "nobody can name them yet, or fit is too low",
    "identified": "we know who it is",
    "qualified": "the MQL that both sides agreed on",
    "ready_to_buy": "they ask for it",
    "customer": "won",
}
NO_SEGMENT: Final = "none"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one segment. `assigned`: how many of its leads a person has. `handover`: here it goes to a human."""

    who: str
    detail: str
    tone: Tone
    leads: int
    assigned: int
    handover: bool


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One segment. `cells` are in the order of `STAGES`."""

    name: str
    label: str
    when: str
    mode: str
    leads: int
    minutes: int
    per_day: int | None
    cells: list[Cell]


class Outside(msgspec.Struct, frozen=True):
    """Leads that the matrix has no place for."""

    name: str
    leads: int


def matrix(policy: Policy, standing: Sequence[Mapping[str, Any]]) -> tuple[list[Column], list[Outside]]:
    """Columns in the order of the policy, and what stands outside them.

    Args:
        standing: Counts by segment, stage and route: `Leads.standing` of the router.
    """
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    outside: dict[str, int] = {}
    names = {segment.name for segment in policy.segments}
    for row in standing:
        segment, stage = row["segment"] or NO_SEGMENT, row["stage"]
        if stage == "disqualified":
            outside["ruled out by a rep"] = outside.get("ruled out by a rep", 0) + row["leads"]
        elif segment not in names:
            words = "in no segment" if segment == NO_SEGMENT else f"in {segment}, which this policy has no more"
            outside[words] = outside.get(words, 0) + row["leads"]
        else:
            leads, assigned = counts.get((segment, stage), (0, 0))
            counts[segment, stage] = leads + row["leads"], assigned + row["assigned"]
    columns = [_column(segment, counts) for segment in policy.segments]
    return columns, [Outside(words, n) for words, n in sorted(outside.items())]


def _column(segment: Segment, counts: Mapping[tuple[str, str], tuple[int, int]]) -> Column:
    cells = []
    for stage in STAGES:
        who, detail, tone = worker(segment, stage)
        leads, assigned = counts.get((segment.name, stage), (0, 0))
        here = stage == segment.handover_at and tone in ("owner", "pool")
        cells.append(Cell(who=who, detail=detail, tone=tone, leads=leads, assigned=assigned, handover=here))
    return Column(
        name=segment.name,
        label=segment.label,
        when=segment.when.text,
        mode=segment.mode,
        leads=sum(cell.leads for cell in cells),
        minutes=segment.h2h.minutes_per_handover,
        per_day=segment.h2h.handovers_per_day,
        cells=cells,
    )


def worker(segment: Segment, stage: Stage) -> tuple[str, str, Tone]:
    """Who works this stage: in short, in detail, and what kind of worker it is."""
    track = segment.track.replace("_", " ")
    if stage == "customer":
        return "Customer", "the deal is won", "end"
    below = rung(stage) < rung(segment.handover_at)
    if below and segment.shop_url:
        return "Technology", f"{track}, with the web shop", "shop"
    if below:
        return "Marketing", track, "marketing"
    if segment.handover_to == "self_serve":
        return "Web shop", "no human is called in", "shop"
    if segment.mode != "live":
        return "Marketing", f"{segment.handover_to} in {segment.mode}: nobody is told", "off"
    if segment.handover_to == "owner":
        return "Sales", "the account's owner", "owner"
    return "Sales", segment.handover_to, "pool"
