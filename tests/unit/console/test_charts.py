"""Charts: right shapes, labels escaped, texts as large as they are drawn."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from services.console.charts import (
    PHONE,
    WIDE,
    Bar,
    Flow,
    Mark,
    Node,
    Series,
    bars,
    legend,
    line,
    nice,
    responsive,
    sankey,
    table,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
EVIL = '<script>alert(1)</script>"'


def test_nice_is_round_and_never_below():
    assert [nice(v) for v in (0, 1, 1.1, 2.2, 47, 100, 101)] == [1, 1, 2, 2.5, 50, 100, 200]


def test_a_line_goes_from_edge_to_edge_and_up_with_the_value():
    points = [(NOW + timedelta(days=d), v) for d, v in ((0, 0.0), (1, 100.0), (2, 50.0))]
    svg = str(line([Series(name="x", points=points, area=True)], label="a", high=100, marks=[Mark(40, "next")]))
    path = re.search(r'class="line c1" d="M([\d.]+) ([\d.]+) L([\d.]+) ([\d.]+) L([\d.]+) ([\d.]+)"', svg)
    assert path is not None
    x0, y0, x1, y1, x2, y2 = map(float, path.groups())
    assert x0 < x1 < x2 == WIDE[0] - 12
    assert y1 < y2 < y0
    assert "next" in svg
    assert 'class="area' in svg
    assert "24 Nov" in svg


def test_few_points():
    assert "nothing yet" in line([Series(name="x", points=[])], label="a")
    assert "<circle" in line([Series(name="x", points=[(1.0, 5.0)])], label="a")
    hours = [(NOW, 1.0), (NOW + timedelta(hours=2), 2.0)]
    for size in (WIDE, PHONE):
        shown = line([Series(name="x", points=hours)], size, label="a")
        assert ">00:00<" in shown
        assert ">02:00<" in shown


def test_a_day_is_named_once():
    points = [(NOW + timedelta(hours=h), 1.0) for h in (0, 54)]
    shown = line([Series(name="x", points=points)], label="a")
    assert re.findall(r">(\d+ \w+)</text>", shown) == ["24 Nov", "25 Nov", "26 Nov"]


def test_bars_are_as_long_as_their_values():
    svg = bars([Bar("one", 10, "note"), Bar("two", 5), Bar("none", 0)], label="b")
    widths = [float(w) for w in re.findall(r'class="bar[^>]* width="([\d.]+)"', svg)]
    assert widths == [WIDE[0], WIDE[0] / 2]
    assert "10 · note" in svg
    assert "nothing yet" in bars([], label="b")


def test_sankey_keeps_what_flows():
    nodes = [Node("a", "A", 0), Node("b", "B", 1, 2), Node("c", "C", 1, 3), Node("z", "nobody", 1)]
    svg = sankey(nodes, [Flow("a", "b", 30), Flow("a", "c", 10), Flow("a", "gone", 5)], label="s")
    bands = [float(w) for w in re.findall(r'class="band[^>]*stroke-width="([\d.]+)"', svg)]
    assert bands[0] == pytest.approx(3 * bands[1], abs=0.2)
    assert "nobody" not in svg
    assert "nothing yet" in sankey(nodes, [], label="s")


def test_labels_are_escaped_everywhere():
    found = (
        str(line([Series(name=EVIL, points=[(1.0, 1.0)])], label=EVIL, marks=[Mark(1, EVIL)]))
        + str(bars([Bar(EVIL, 1, EVIL)], label=EVIL))
        + str(sankey([Node("a", EVIL, 0), Node("b", EVIL, 1)], [Flow("a", "b", 1)], label=EVIL))
        + str(table([EVIL], [[EVIL]]))
        + str(legend([(EVIL, 1)]))
    )
    assert "<script>" not in found
    assert "&lt;script&gt;" in found
    assert "style=" not in found


def test_responsive_draws_for_both_and_has_the_numbers():
    html = str(
        responsive(
            lambda size: line([Series(name="x", points=[(0.0, 1.0), (1.0, 2.0)])], size, label="a"),
            ("x", "y"),
            [(0, 1)],
        )
    )
    assert f'width="{WIDE[0]}"' in html
    assert f'width="{PHONE[0]}"' in html
    assert html.count("<table") == 1
    assert "<table" not in responsive(lambda size: bars([], size, label="a"))
