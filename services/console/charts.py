"""Charts as SVG, drawn on the server: line, bars, sankey → Markup. Pure.

Under the page policy there are no inline styles: colours come from classes (`c1` to `c6` of console.css), sizes from
attributes. A scaled drawing scales its text too, so `responsive` draws twice, and CSS shows the one that fits.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from math import floor, log10
from typing import Final

import msgspec
from markupsafe import Markup, escape

WIDE: Final = (760, 260)
PHONE: Final = (330, 220)
TEXT: Final = 12
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 26
TICKS: Final = 4
X_TICKS_PX: Final = 95

Size = tuple[int, int]
X = datetime | float


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One line: points in order of x. `tone` 1 to 6 picks the colour; `area` fills below it."""

    name: str
    points: Sequence[tuple[X, float]]
    tone: int = 1
    area: bool = False


class Mark(msgspec.Struct, frozen=True):
    """A level drawn across the chart, with its name."""

    value: float
    name: str


class Bar(msgspec.Struct, frozen=True):
    """One bar. `note` stands behind the value."""

    name: str
    value: float
    note: str = ""
    tone: int = 1


class Node(msgspec.Struct, frozen=True):
    """A box of a sankey; `column` counts from 0."""

    id: str
    name: str
    column: int
    tone: int = 1


class Flow(msgspec.Struct, frozen=True):
    """A band from one node to another."""

    source: str
    target: str
    value: float


def responsive(
    draw: Callable[[Size], Markup], columns: Sequence[str] = (), rows: Sequence[Sequence[object]] = ()
) -> Markup:
    """The chart for wide pages and for phones, and its numbers as a table behind a fold."""
    both = Markup('<div class="chart"><div class="chart-wide">{}</div><div class="chart-phone">{}</div>').format(
        draw(WIDE), draw(PHONE)
    )
    return both + (table(columns, rows) if columns else Markup("")) + Markup("</div>")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """The numbers behind a chart."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(c) for c in columns)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in rows
    )
    return Markup(
        '<details class="numbers"><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="The numbers">'
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></details>"
    ).format(head, body)


def legend(items: Sequence[tuple[str, int]]) -> Markup:
    """Names and colours of the series."""
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(Markup('<li><span class="key c{}"></span>{}</li>').format(tone, name) for name, tone in items)
    )


def line(
    series: Sequence[Series],
    size: Size = WIDE,
    *,
    label: str,
    low: float = 0,
    high: float | None = None,
    marks: Sequence[Mark] = (),
    zone: tzinfo = UTC,
) -> Markup:
    """Lines over time or over numbers.

    Args:
        label: What a screen reader says.
        low, high: Ends of the value axis; `high` None: a round number above the highest value.
        zone: Whose days and hours stand below.
    """
    width, height = size
    xs = [_number(x) for one in series for x, _ in one.points]
    values = [y for one in series for _, y in one.points] + [m.value for m in marks]
    if not xs:
        return _empty(size, label)
    first, last = min(xs), max(xs)
    top = high if high is not None else nice(max(values, default=1))
    timed = isinstance(series[0].points[0][0], datetime) if series[0].points else False
    right, bottom = width - RIGHT, height - BOTTOM

    def px(x: X) -> float:
        return LEFT + (right - LEFT) * ((_number(x) - first) / (last - first) if last > first else 0.5)

    def py(y: float) -> float:
        return bottom - (bottom - TOP) * (min(max(y, low), top) - low) / ((top - low) or 1)

    parts = [_grid(low, top, py, right)]
    count = max(1, (right - LEFT) // X_TICKS_PX)
    before = ""
    for i in range(count + 1):
        at = first + (last - first) * i / count
        anchor = "start" if i == 0 else "end" if i == count else "middle"
        name = _x_name(at, last - first, zone if timed else None)
        # Two and a half days have more ticks than days: each is named once.
        if name != before:
            parts.append(_text(px(at), height - 8, name, anchor))
        before = name
        if last == first:
            break
    for one in series:
        path = _path([(px(x), py(y)) for x, y in one.points])
        if one.area and one.points:
            ends = f"L{px(one.points[-1][0]):.1f} {bottom} L{px(one.points[0][0]):.1f} {bottom}Z"
            parts.append(Markup('<path class="area c{}" d="{} {}"/>').format(one.tone, path, ends))
        parts.append(Markup('<path class="line c{}" d="{}"/>').format(one.tone, path))
        if len(one.points) == 1:
            parts.append(_dot(px(one.points[0][0]), py(one.points[0][1]), one.tone))
    for mark in marks:
        y = py(mark.value)
        parts.append(Markup('<line class="level" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(LEFT, right, y, y))
        parts.append(_text(LEFT + 6, y - 5, mark.name, "start"))
    return _svg(size, label, parts)


def bars(rows: Sequence[Bar], size: Size = WIDE, *, label: str) -> Markup:
    """Lying bars, one a row, name above and value at the end. The height follows the rows."""
    if not rows:
        return _empty(size, label)
    width, row = size[0], 40
    most = max(one.value for one in rows) or 1
    parts: list[Markup] = []
    for i, one in enumerate(rows):
        y = i * row
        parts.append(_text(0, y + 14, one.name, "start", "ink"))
        shown = f"{_short(one.value)}{f' · {one.note}' if one.note else ''}"
        parts.append(_text(width, y + 14, shown, "end"))
        parts.append(Markup('<rect class="rail" x="0" y="{}" width="{}" height="8" rx="4"/>').format(y + 21, width))
        if one.value > 0:
            full = max(4.0, width * one.value / most)
            parts.append(
                Markup('<rect class="bar c{}" x="0" y="{}" width="{:.1f}" height="8" rx="4"/>').format(
                    one.tone, y + 21, full
                )
            )
    return _svg((width, len(rows) * row), label, parts)


def sankey(nodes: Sequence[Node], flows: Sequence[Flow], size: Size = WIDE, *, label: str) -> Markup:
    """What goes where, in columns: the height of a box is the larger of what comes in and what goes out."""
    width, height = size
    columns = 1 + max((n.column for n in nodes), default=0)
    box, gap, edge = 12, 18, 8
    weight = {
        n.id: max(sum(f.value for f in flows if f.source == n.id), sum(f.value for f in flows if f.target == n.id))
        for n in nodes
    }
    members = [[n for n in nodes if n.column == c and weight[n.id] > 0] for c in range(columns)]
    sums = [(sum(weight[n.id] for n in m), len(m)) for m in members]
    if not any(total for total, _ in sums):
        return _empty(size, label)
    scale = min((height - 2 * edge - gap * (count - 1)) / total for total, count in sums if total)
    at: dict[str, tuple[float, float]] = {}
    for c, column in enumerate(members):
        y: float = edge
        x = edge + (width - 2 * edge - box) * c / max(1, columns - 1)
        for n in column:
            at[n.id] = (x, y)
            y += weight[n.id] * scale + gap
    left, came = dict.fromkeys(at, 0.0), dict.fromkeys(at, 0.0)
    tone = {n.id: n.tone for n in nodes}
    parts: list[Markup] = []
    for f in flows:
        if f.value <= 0 or f.source not in at or f.target not in at:
            continue
        thick = f.value * scale
        x1, y1 = at[f.source][0] + box, at[f.source][1] + left[f.source] + thick / 2
        x2, y2 = at[f.target][0], at[f.target][1] + came[f.target] + thick / 2
        left[f.source] += thick
        came[f.target] += thick
        middle = (x1 + x2) / 2
        parts.append(
            Markup(
                '<path class="band c{}" d="M{:.1f} {:.1f} C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}" stroke-width="{:.1f}"/>'
            ).format(tone[f.source], x1, y1, middle, y1, middle, y2, x2, y2, max(1.0, thick))
        )
    for n in nodes:
        if n.id in at:
            x, y = at[n.id]
            tall = weight[n.id] * scale
            parts.append(
                Markup('<rect class="bar c{}" x="{:.1f}" y="{:.1f}" width="{}" height="{:.1f}" rx="3"/>').format(
                    n.tone, x, y, box, max(2.0, tall)
                )
            )
            ends = n.column == columns - 1 and columns > 1
            parts.append(
                _text(
                    x - 6 if ends else x + box + 6,
                    y + tall / 2 + 4,
                    f"{n.name} {_short(weight[n.id])}",
                    "end" if ends else "start",
                    "ink",
                )
            )
    return _svg(size, label, parts)


def nice(value: float) -> float:
    """A round number at or above `value`: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999999)


def _svg(size: Size, label: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}" font-size="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    ).format(label, size[0], size[1], size[0], size[1], TEXT, Markup("").join(parts))


def _empty(size: Size, label: str) -> Markup:
    return _svg(size, label, [_text(size[0] / 2, size[1] / 2, "nothing yet", "middle")])


def _grid(low: float, top: float, py: Callable[[float], float], right: int) -> Markup:
    parts = []
    for i in range(TICKS + 1):
        value = low + (top - low) * i / TICKS
        y = py(value)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(LEFT, right, y, y))
        parts.append(_text(LEFT - 8, y + 4, _short(value), "end"))
    return Markup("").join(parts)


def _text(x: float, y: float, words: str, anchor: str, kind: str = "soft") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, escape(words)
    )


def _dot(x: float, y: float, tone: int) -> Markup:
    return Markup('<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(tone, x, y)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))


def _number(x: X) -> float:
    return x.timestamp() if isinstance(x, datetime) else float(x)


def _x_name(at: float, reach: float, zone: tzinfo | None) -> str:
    if zone is None:
        return _short(at)
    moment = datetime.fromtimestamp(at, zone)
    return f"{moment:%H:%M}" if reach < 2 * 86_400 else f"{moment.day} {moment:%b}"


def _short(value: float) -> str:
    if abs(value) >= 1_000_000:
        return f"{value / 1e6:.1f}".removesuffix(".0") + " M"
    if abs(value) >= 10_000:
        return f"{value / 1e3:.1f}".removesuffix(".0") + " k"
    return f"{value:,.1f}".removesuffix(".0")
