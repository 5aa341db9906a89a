"""What the pages of marketing operations and operations say: plain values from plain values."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.console.views import funnel, sources
from services.console.views.flow import Rates, stages
from services.console.views.letters import readable, row
from services.console.views.matrix import STAGES, matrix
from services.console.views.policy import line_diff
from services.console.views.templates import SAMPLE, Case, cover, messages
from services.eventlog.deadletter import DeadLetter
from services.policy.core.compile import compile_policy

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TEXT = Path("examples/policy.yaml").read_text()
POLICY = compile_policy(TEXT)


# -- the policy


def test_a_diff_shows_what_changed_with_some_lines_around() -> None:
    before = "\n".join(f"line {n}" for n in range(1, 31))
    after = before.replace("line 15", "line fifteen").replace("line 16\n", "")
    found = line_diff(before, after)
    kinds = [one.kind for one in found]
    assert kinds == ["gap", "same", "same", "same", "gone", "gone", "new", "same", "same", "same", "gap"]
    assert [(one.old, one.new, one.text) for one in found if one.kind in ("gone", "new")] == [
        (15, None, "line 15"),
        (16, None, "line 16"),
        (None, 15, "line fifteen"),
    ]
    assert (found[0].text, found[-1].text) == ("11 lines are the same", "11 lines are the same")
    assert line_diff(before, before) == []


def test_a_diff_counts_one_line_as_one() -> None:
    before = "\n".join(f"line {n}" for n in range(1, 10))
    found = line_diff(before, before.replace("line 5", "five"))
    assert [one.text for one in found if one.kind == "gap"] == ["1 line is the same", "1 line is the same"]


def test_a_diff_from_nothing() -> None:
    assert [(one.kind, one.new) for one in line_diff("", "a\nb")] == [("new", 1), ("new", 2)]


# -- the matrix


def test_the_matrix_says_who_works_which_stage() -> None:
    columns, _ = matrix(POLICY, [])
    tones = {column.name: [cell.tone for cell in column.cells] for column in columns}
    assert tones == {
        "enterprise": ["marketing", "owner", "owner", "owner", "end"],
        "midmarket": ["marketing", "marketing", "pool", "pool", "end"],
        "volume": ["shop", "shop", "shop", "pool", "end"],
    }
    handovers = [[STAGES[i] for i, cell in enumerate(c.cells) if cell.handover] for c in columns]
    assert handovers == [["identified"], ["qualified"], ["ready_to_buy"]]


def test_the_matrix_counts_every_lead_once() -> None:
    standing = [
        {"segment": "enterprise", "stage": "identified", "route": "owner", "leads": 3, "assigned": 3},
        {"segment": "enterprise", "stage": "identified", "route": "nurture", "leads": 1, "assigned": 0},
        {"segment": None, "stage": "unknown", "route": "nurture", "leads": 4, "assigned": 0},
        {"segment": "gone", "stage": "qualified", "route": "sdr", "leads": 5, "assigned": 5},
        {"segment": "volume", "stage": "disqualified", "route": "nurture", "leads": 6, "assigned": 0},
    ]
    columns, outside = matrix(POLICY, standing)
    assert (columns[0].cells[1].leads, columns[0].cells[1].assigned) == (4, 3)
    assert sum(c.leads for c in columns) + sum(o.leads for o in outside) == 19
    assert {o.name: o.leads for o in outside} == {
        "in no segment": 4,
        "in gone, which this policy has no more": 5,
        "ruled out by a rep": 6,
    }


@pytest.mark.parametrize(
    ("old", "new", "tone", "who"),
    [
        ("handover_to: closers", "handover_to: self_serve", "shop", "Web shop"),
        ("track: self_serve\n", "track: self_serve\n    mode: shadow\n", "off", "Marketing"),
    ],
)
def test_a_stage_that_no_human_works(old: str, new: str, tone: str, who: str) -> None:
    columns, _ = matrix(compile_policy(TEXT.replace(old, new)), [])
    cell = columns[2].cells[3]
    assert (cell.tone, cell.who, cell.handover) == (tone, who, False)


# -- templates


def test_the_message_that_fits_best_comes_first_and_is_filled() -> None:
    found = messages(POLICY, Case(segment="enterprise", language="fi"), SAMPLE)
    assert found[0].chosen
    assert found[0].wheres == ["Enterprise", "Finnish"]
    assert found[0].body.startswith("Hei Anni,")
    assert sum(one.chosen for one in found) == 1


def test_which_languages_are_covered() -> None:
    languages, rows = cover(POLICY, ["sv", "no"])
    assert languages == [("en", "English"), ("fi", "Finnish"), ("sv", "Swedish"), ("no", "Norwegian")]
    assert {row.label: row.cells for row in rows}["Volume"] == ["own", "own", "own", "fallback"]
    bare = compile_policy(
        TEXT[: TEXT.index("  # -- på svenska")] + TEXT[TEXT.index("# ----", TEXT.index("Aurorasta")) :]
    )
    assert {row.label: row.cells for row in cover(bare, ["sv"])[1]}["Volume"] == ["own", "fallback", "fallback"]


# -- the funnel


def line(name: str, stages: tuple[int, int, int, int, int], **more: Any) -> dict[str, Any]:
    names = list(funnel.STAGES)
    counts = dict(zip(names, stages, strict=True))
    share = {f"{a}_to_{b}": counts[b] / counts[a] if counts[a] else None for a, b in pairwise(names)}
    told = {"handovers": 0, "accepted": 0, "won": 0, "acceptance": None, "win_rate": None}
    return {
        "segment": name, "leads": stages[0], "stages": counts, "conversion": share, "goal": None, "between_stages": {},
        "median_minutes_to_accept": None, "h2h_minutes": 0, "h2h_minutes_per_won": None, **told, **more,
    }  # fmt: skip


def test_the_funnel_beside_its_goals() -> None:
    goal = {"handovers_per_week": 2, "minutes_to_first_touch": 15, "acceptance": 0.8, "win_rate": 0.3}
    more = {
        "goal": goal, "handovers": 30, "accepted": 21, "acceptance": 0.7, "won": 3, "win_rate": 0.5,
        "median_minutes_to_accept": 12.0, "h2h_minutes": 945, "h2h_minutes_per_won": 315.0,
        "between_stages": {"identified_to_qualified": {"leads": 4, "median_s": 7200.0, "p90_s": 0.2}},
    }  # fmt: skip
    (found,) = funnel.segments(
        {"total": line("all", (9, 8, 4, 2, 1)), "segments": [line("x", (9, 8, 4, 2, 1), **more)]}, {}, 70
    )
    assert [(m.name, m.value, m.state) for m in found.meters] == [
        ("Handovers a week", "3", "good"),
        ("Accepted", "70%", "bad"),
        ("Minutes to accept", "12", "good"),
        ("Won", "50%", "good"),
        ("Human minutes a won deal", "315", ""),
    ]
    assert found.steps[1] == ("Identified → qualified", "50%", "2 h", "at once")
    assert found.steps[0] == ("Lead → identified", "89%", "–", "–")


def test_leads_that_came_at_least_so_far_as_leads_that_came_just_so_far() -> None:
    found = funnel.furthest(dict(zip(funnel.STAGES, (9, 8, 4, 2, 1), strict=True)))
    assert list(found.values()) == [1, 4, 2, 1, 1]
    assert sum(found.values()) == 9


@pytest.mark.parametrize(("asked", "days"), [("7", 7), ("", 30), ("31", 30), ("x", 30), ("٧", 30), ("-7", 30)])
def test_only_periods_that_are_offered(asked: str, days: int) -> None:
    assert funnel.period(asked, (7, 30, 90)) == days


# -- operations


def lag(topic: str, part: int, **more: Any) -> dict[str, Any]:
    return {"stage": "s", "topic": topic, "part": part, "records": 0, "seconds": 0.0, "owner": "a:1", **more}


def test_the_flow_says_who_falls_behind() -> None:
    lags = [
        lag("tracking.events", 0), lag("tracking.events", 1, records=5, seconds=2.0),
        lag("lead.scored", 0, records=9, seconds=31.0), lag("lead.routed", 0, owner=None),
    ]  # fmt: skip
    found = {one.topic: (one.waiting, one.state, one.words) for one in stages(lags, {})}
    assert found == {
        "tracking.events": (5, "now", "working"),
        "lead.scored": (9, "bad", "falls behind"),
        "lead.routed": (0, "bad", "1 of 1 partitions are read by nobody"),
        "lead.outcomes": (0, "bad", "never read"),
    }


def test_rates_are_over_the_last_minute() -> None:
    rates = Rates()
    assert rates.take(0.0, {"t": {0: 100, 1: 0}}) == {}
    assert rates.take(10.0, {"t": {0: 150, 1: 50}}) == {"t": 10.0}
    assert rates.take(65.0, {"t": {0: 150, 1: 50}}) == {"t": 0.0}
    assert rates.take(66.0, {"t": {0: 150, 1: 60}, "new": {0: 1}}) == {"t": 10 / 56}


def letter(**more: Any) -> DeadLetter:
    plain: dict[str, Any] = {
        "id": 1, "stage": "scoring", "topic": "tracking.events", "part": 0, "offset": 7, "reason": "bad_json", "detail": "",
        "key": None, "value": b"x", "attempts": 1, "died_at": NOW, "replayed_at": None, "replayed_by": None,
    }  # fmt: skip
    return DeadLetter(**plain | more)


def test_where_a_letter_comes_from() -> None:
    assert (row(letter()).place, row(letter()).replayable) == ("0:7", True)
    assert (row(letter(part=-1)).place, row(letter(part=-1)).replayable) == ("outbox", False)
    assert row(letter(topic="requests", offset=2**60)).place == ""


def test_bytes_are_readable_and_hide_nothing() -> None:
    assert readable(None) is None
    found = readable(b'{"a":"<b>\\u0000\xe2\x80\xae"}')
    assert found is not None
    assert (found.kind, found.text) == ("json", '{\n  "a": "<b>\\u0000\\u202e"\n}')
    text = readable("a\x00b\u202ec\n".encode())
    assert text is not None
    assert (text.kind, text.text) == ("text", "a␀b\\u202ec\n")
    raw = readable(b"\xff\x00" * 3000)
    assert raw is not None
    assert (raw.kind, raw.cut, raw.text.splitlines()[0]) == (
        "hex",
        1904,
        "000000  ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00  ················",
    )
    long = readable(b"a" * 70_000)
    assert long is not None
    assert (long.kind, len(long.text), long.cut) == ("text", 65_536, 70_000 - 65_536)
    assert readable(b"[" * 60_000) is not None


# -- sources


def source(**more: Any) -> dict[str, Any]:
    plain = {
        "id": "s", "name": "n", "platform": "segment", "publishable": False, "disabled": False, "signed": False,
        "seen_at": NOW - timedelta(minutes=5), "accepted": 100, "rejected": 0, "recent": [],
    }  # fmt: skip
    return plain | more


@pytest.mark.parametrize(
    ("more", "state", "said"),
    [
        ({}, "good", "events come in"),
        ({"disabled": True}, "off", "disabled"),
        ({"seen_at": None}, "now", "waiting for its first event"),
        ({"seen_at": NOW - timedelta(days=4)}, "now", "quiet since 4 days ago"),
        ({"rejected": 50}, "bad", "33% refused"),
        (
            {
                "recent": [
                    {"signal": "bad_signature", "at": NOW.isoformat()},
                    {"signal": "page.viewed", "at": NOW.isoformat()},
                ]
            },
            "bad",
            "signature refused, 1 time of the last 2",
        ),
    ],
)
def test_how_a_source_is_doing(more: dict[str, Any], state: str, said: str) -> None:
    found = sources.source_row(source(**more), NOW)
    assert (found.state, found.said) == (state, said)


@pytest.mark.parametrize(
    ("gap_s", "words"),
    [(0.01, "about 10 a second"), (3, "about 20 a minute"), (600, "about 6 an hour"), (86_400, "about one in 24 h")],
)
def test_how_often_events_come(gap_s: float, words: str) -> None:
    times = [NOW - timedelta(seconds=gap_s * n) for n in range(1, 11)]
    assert sources.rate(times, NOW) == words
    assert sources.rate(times[:1], NOW) == ""


def test_words_of_the_set_up_in_pieces() -> None:
    assert sources.marked("Paste `{x}` at *all* <b>") == [
        ("text", "Paste "),
        ("code", "{x}"),
        ("text", " at "),
        ("strong", "all"),
        ("text", " <b>"),
    ]


def test_ready_messages_read_as_in_the_inbox_without_the_line_breaks_of_their_file() -> None:
    finnish = next(one for one in messages(POLICY, Case(segment="enterprise", language="fi"), SAMPLE) if one.chosen)
    long = [line for line in finnish.raw_body.splitlines() if len(line) >= 50]
    assert long, "the example has no line that was broken by the width of its file"
    assert "voinko auttaa: lähetänkö esimerkin siitä" in finnish.body.replace("\n", "|").lower()
