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
    histogram,
    legend,
    line,
    nice,
    responsive,
    sankey,
    table,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
EVIL = '<script>alert(1)</script>"'


def heights(svg):
    return [float(y) for y in re.findall(r'<rect class="bar[^>]* height="([\d.]+)"', svg)]


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
    stepped = line([Series(name="x", points=[(0.0, 1.0), (1.0, 2.0)], step=True)], label="a")
    assert re.search(r'd="M[\d. ]+ H[\d.]+ V[\d.]+"', stepped)
    hours = [(NOW, 1.0), (NOW + timedelta(hours=2), 2.0)]
    assert "01:00" in line([Series(name="x", points=hours)], (330, 200), label="a") or "00:00" in line(
        [Series(name="x", points=hours)], label="a"
    )


def test_bars_and_histogram_are_as_high_as_their_values():
    assert heights(histogram([("a", 10), ("b", 5), ("c", 0)], label="h"))[:2] == pytest.approx([220, 110])
    svg = bars([Bar("one", 10, "note"), Bar("two", 5), Bar("none", 0)], label="b", unit=" h")
    widths = [float(w) for w in re.findall(r'class="bar[^>]* width="([\d.]+)"', svg)]
    assert widths == [WIDE[0], WIDE[0] / 2]
    assert "10 h · note" in svg
    assert "nothing yet" in bars([], label="b")
    assert "nothing yet" in histogram([], label="b")
    crowded = histogram([(f"bin {i}", i) for i in range(60)], PHONE, label="h")
    assert crowded.count("<text") < 20


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
        + str(histogram([(EVIL, 1)], label=EVIL))
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
