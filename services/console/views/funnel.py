"""The funnel as marketing and sales read it: how far leads come, how long it takes, and whether goals are met. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
from markupsafe import Markup

from services.console import charts
from services.console.filters import plural, span

STAGES: Final[Mapping[str, str]] = {
    "unknown": "Leads",
    "identified": "Identified",
    "qualified": "Qualified",
    "ready_to_buy": "Ready to buy",
    "customer": "Customer",
}
TONES: Final = (6, 3, 1, 4, 2)
FULL, HALF = 1090, 580  # widths in px at which nothing is scaled on a wide screen


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """One measure beside its goal. `state`: good, bad, or empty where nothing is measured or agreed."""

    name: str
    value: str
    goal: str
    state: str


class SegmentFunnel(msgspec.Struct, frozen=True, kw_only=True):
    """One segment: its funnel as a drawing, its meters, its steps."""

    name: str
    label: str
    chart: Markup
    meters: list[Meter]
    steps: list[tuple[str, str, str, str]]
    leads: int
    handovers: int
    won: int


def segments(found: Mapping[str, Any], labels: Mapping[str, str], days: float) -> list[SegmentFunnel]:
    """Each segment of the funnel's answer, the whole first.

    Args:
        found: `Leads.funnel` of the router.
        labels: Segment to what people call it.
        days: Length of the period.
    """
    lines = [found["total"], *found["segments"]]
    if len(found["segments"]) < 2:
        lines = lines[1:] or lines
    return [_segment(line, labels, days) for line in lines]


def where(found: Mapping[str, Any], labels: Mapping[str, str]) -> Markup:
    """Segments on the left, the highest stage that their leads reached on the right."""
    nodes = [
        charts.Node(
            id=f"s.{line['segment']}", name=labels.get(line["segment"], line["segment"]), column=0, tone=1 + index % 5
        )
        for index, line in enumerate(found["segments"])
    ]
    nodes += [
        charts.Node(id=stage, name="Not identified" if stage == "unknown" else name, column=1, tone=tone)
        for (stage, name), tone in zip(STAGES.items(), TONES, strict=True)
    ]
    flows = [
        charts.Flow(source=f"s.{line['segment']}", target=stage, value=float(count))
        for line in found["segments"]
        for stage, count in furthest(line["stages"]).items()
    ]
    rows = [
        (labels.get(line["segment"], line["segment"]), *furthest(line["stages"]).values()) for line in found["segments"]
    ]
    label = "Leads by segment and the highest stage that they reached"

    def draw(size: charts.Size) -> Markup:
        return charts.sankey(nodes, flows, (FULL, size[1]) if size == charts.WIDE else size, label=label)

    return charts.responsive(draw, ("Segment", "Not identified", *list(STAGES.values())[1:]), rows)


def furthest(stages: Mapping[str, int]) -> dict[str, int]:
    """Counts of leads that came at least so far, as counts of leads that came exactly so far."""
    names = list(STAGES)
    found = {low: stages[low] - stages[high] for low, high in pairwise(names)}
    return {**found, names[-1]: stages[names[-1]]}


def _segment(line: Mapping[str, Any], labels: Mapping[str, str], days: float) -> SegmentFunnel:
    name = line["segment"]
    label = "All segments" if name == "all" else labels.get(name, name)
    bars = []
    for (stage, words), tone in zip(STAGES.items(), TONES, strict=True):
        count = line["stages"][stage]
        of_all = f"{count / line['leads']:.0%}" if line["leads"] and stage != "unknown" else ""
        bars.append(charts.Bar(name=words, value=count, note=of_all, tone=tone))

    def draw(size: charts.Size) -> Markup:
        return charts.bars(bars, (HALF, size[1]) if size == charts.WIDE else size, label=f"The funnel of {label}")

    chart = charts.responsive(draw)
    return SegmentFunnel(
        name=name,
        label=label,
        chart=chart,
        meters=_meters(line, days),
        steps=_steps(line),
        leads=line["leads"],
        handovers=line["handovers"],
        won=line["won"],
    )


def _steps(line: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Step, conversion, median, and the slowest tenth."""
    found = []
    for low, high in pairwise(STAGES):
        step = f"{low}_to_{high}"
        took = line["between_stages"].get(step)
        share = line["conversion"][step]
        name = f"{STAGES[low] if low != 'unknown' else 'Lead'} → {STAGES[high].lower()}"
        found.append(
            (
                name,
                "–" if share is None else f"{share:.0%}",
                "–" if took is None else _took(took["median_s"]),
                "–" if took is None else _took(took["p90_s"]),
            )
        )
    return found


def _took(seconds: float) -> str:
    return "at once" if seconds < 1 else span(seconds)


def _meters(line: Mapping[str, Any], days: float) -> list[Meter]:
    goal = line["goal"] or {}
    weekly = line["handovers"] / max(days / 7, 1 / 7)
    found = [
        _meter("Handovers a week", weekly if line["handovers"] else None, goal.get("handovers_per_week"), "{:,.1f}"),
        _meter("Accepted", line["acceptance"], goal.get("acceptance"), "{:.0%}"),
        _meter(
            "Minutes to accept",
            line["median_minutes_to_accept"],
            goal.get("minutes_to_first_touch"),
            "{:,.1f}",
            less=True,
        ),
        _meter("Won", line["win_rate"], goal.get("win_rate"), "{:.0%}"),
    ]
    minutes = line["h2h_minutes"]
    per_won = line["h2h_minutes_per_won"]
    if per_won is not None:
        words = plural(line["won"], "deal")
        found.append(Meter(name="Human minutes a won deal", value=f"{per_won:,.0f}", goal=words, state=""))
    else:
        found.append(Meter(name="Human minutes spent", value=f"{minutes:,.0f}", goal="no won deal yet", state=""))
    return found


def _meter(name: str, value: float | None, goal: float | None, form: str, *, less: bool = False) -> Meter:
    shown = "–" if value is None else form.format(value).replace(".0", "")
    if goal is None:
        return Meter(name=name, value=shown, goal="no goal agreed", state="")
    words = f"goal: {'at most ' if less else ''}{form.format(goal).replace('.0', '')}"
    if value is None:
        return Meter(name=name, value=shown, goal=words, state="")
    met = value <= goal if less else value >= goal
    return Meter(name=name, value=shown, goal=words, state="good" if met else "bad")


def period(asked: str, choices: Sequence[int]) -> int:
    """The days that were asked for, if they are offered; else the middle choice."""
    return int(asked) if asked.isascii() and asked.isdigit() and int(asked) in choices else choices[len(choices) // 2]
