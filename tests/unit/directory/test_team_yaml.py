"""What does a team file say, field by field, and how are its problems told?"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.directory.core import fields, team_yaml
from services.directory.core.fields import FieldError
from services.directory.core.people import Absence, Member, Pool, Rep
from services.directory.core.team_yaml import TeamError, TeamFile, parse_team

EXAMPLES = Path(__file__).parents[3] / "examples"
REPS = {
    "anna": Rep(id="anna", name="Anna Aalto", email="anna@seller.example", timezone="Europe/Helsinki"),
    "ben": Rep(id="ben", name="Ben Berg"),
    "gone": Rep(id="gone", active=False),
}


# -- fields that only people have


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fields.identifier("Ä"), "no id"),
        (lambda: fields.line("x" * 201), "at most 200"),
        (lambda: fields.networks(" ".join(f"11.0.{n // 250}.{n % 250}" for n in range(300))), "300 networks"),
        (lambda: fields.networks("nonsense"), "no network"),
        (lambda: fields.networks("0.0.0.0/0"), "wider"),
        (lambda: fields.networks("2000::/3"), "wider"),
        (lambda: fields.networks("::1"), "no public network"),
        (lambda: fields.networks("fe80::/19"), "no public network"),
        (lambda: fields.email("x"), "no e-mail address"),
        (lambda: fields.timezone("Mars"), "no time zone"),
        (lambda: fields.hours("now and then"), "not understood"),
        (lambda: fields.holiday_country("XX"), "not known"),
        (lambda: fields.language("finnish"), "no language"),
        (lambda: fields.capacity("-1"), "no whole number"),
        (lambda: fields.capacity("1.5"), "no whole number"),
        (lambda: fields.whole("9" * 50, 0, 5), "no whole number"),
        (lambda: fields.link("ftp://x"), "no web address"),
        (lambda: fields.link("https://[x"), "no web address"),
        (lambda: fields.absence("2026-12-24", "2026-12-23", "", "UTC"), "empty"),
        (lambda: fields.absence("2026-12-24", "2036-12-23", "", "UTC"), "two years"),
        (lambda: fields.absence("soon", "2026-12-23", "", "UTC"), "no date"),
        (lambda: fields.absence("2026-13-01", "2026-12-23", "", "UTC"), "no date"),
        (lambda: fields.absence("0001-01-01", "9999-12-31", "", "Europe/Helsinki"), "no date"),
    ],
)
def test_refusals_say_how_to_mend(call: Any, words: str) -> None:
    with pytest.raises(FieldError, match=words) as caught:
        call()
    assert caught.value.hint
    assert str(caught.value) == f"{caught.value.message}; {caught.value.hint}"


def test_values_that_stand() -> None:
    assert fields.email(" Anna@Seller.example ") == "anna@seller.example"
    assert fields.email("") is None
    assert fields.hours(" Always ") == "always"
    assert fields.hours("mon-fri   09:00-17:00") == "mon-fri 09:00-17:00"
    assert fields.holiday_country("de-by") == "DE-BY"
    assert fields.holiday_country("") is None
    assert fields.link("https://meet.example/anna") == "https://meet.example/anna"
    assert fields.link("") is None
    assert fields.capacity("") is None
    assert fields.capacity("8") == 8
    assert fields.absence("2026-12-24", "2026-12-24", "x", "Europe/Helsinki") == Absence(
        start=datetime(2026, 12, 23, 22, tzinfo=UTC), end=datetime(2026, 12, 24, 22, tzinfo=UTC), note="x"
    )
    assert fields.absence("2026-12-24T12:00", "2026-12-24T15:00+00:00", "", "Europe/Helsinki") == Absence(
        start=datetime(2026, 12, 24, 10, tzinfo=UTC), end=datetime(2026, 12, 24, 15, tzinfo=UTC)
    )


# -- the team


def test_the_example_team() -> None:
    team = parse_team((EXAMPLES / "team.yaml").read_text(), {})
    assert [rep.id for rep in team.reps] == ["anna", "ben", "chloe", "daavid", "emil", "elin", "farid", "maria"]
    assert {rep.values["hours"] for rep in team.reps} == {"always"}
    assert [pool.weights for pool in team.pools] == [{"chloe": 2, "daavid": 1, "emil": 1}, {"elin": 1, "farid": 1}]
    assert team.reps[4].values["languages"] == ("no", "en")


def test_every_key_of_a_rep() -> None:
    text = """
reps:
  - id: Anna
    name: Anna Aalto
    title: ~
    email: anna@seller.example
    timezone: Europe/Helsinki
    hours: mon-fri 09:00-17:00
    country: fi
    languages: [fi, NO]
    capacity_per_day: 8
    capacity_open:
    manager: ben
    meeting_link: https://meet.example/anna
    active: no
    absences:
      - {from: 2026-12-24, until: 2026-12-24, note: home}
pools:
  - {name: p, members: {ben: 2}}
"""
    team = parse_team(text, REPS)
    assert team.reps[0].id == "anna"
    assert team.reps[0].values == {
        "name": "Anna Aalto", "title": "", "email": "anna@seller.example", "timezone": "Europe/Helsinki", "hours": "mon-fri 09:00-17:00",
        "country": "FI", "languages": ("fi", "no"), "capacity_per_day": 8, "capacity_open": None, "manager": "ben",
        "meeting_link": "https://meet.example/anna", "active": False,
    }  # fmt: skip
    assert team.reps[0].absences == (
        Absence(start=datetime(2026, 12, 23, 22, tzinfo=UTC), end=datetime(2026, 12, 24, 22, tzinfo=UTC), note="home"),
    )
    assert team.pools == (Pool(name="p", members=(Member(rep="ben", weight=2),)),)


def test_an_absence_is_read_in_the_zone_that_the_rep_has_already() -> None:
    team = parse_team(
        "reps: [{id: anna, absences: [{from: 2026-12-24, until: 2026-12-24}]}, {id: new, absences: [{from: 2026-12-24, until: 2026-12-24}]}]",
        REPS,
    )
    assert [rep.absences[0].start.hour for rep in team.reps] == [22, 0]


def test_reps_or_pools_alone() -> None:
    assert parse_team("pools:\nreps: null\n", {}) == TeamFile()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, 1, "file", "empty")]),
        ("reps: [", [(1, 8, "file", "no YAML")]),
        ("- a", [(1, 1, "file", "names and values")]),
        ("a: &x 1\nb: *x", [(2, 4, "file", "aliases")]),
        ("people: []", [(1, 1, "people", "not known")]),
        ("reps: []\nreps: []", [(2, 1, "reps", "twice")]),
        ("? [a]\n: 1", [(1, 3, "file", "not known")]),
        ("reps: {id: anna}", [(1, 7, "reps", "list")]),
        ("reps:\n  - name: Anna", [(2, 5, "reps[0]", "no id")]),
        ("reps:\n  - {id: Ä}", [(2, 10, "reps[0].id", "no id")]),
        ("reps:\n  - {id: a}\n  - {id: a}", [(3, 5, "reps[1]", "two reps")]),
        ("reps:\n  - id: a\n    colour: red", [(3, 5, "reps[0].colour", "not known")]),
        ("reps:\n  - id: a\n    name: [x]", [(3, 11, "reps[0].name", "one value")]),
        ("reps:\n  - id: a\n    hours: sometimes", [(3, 12, "reps[0].hours", "not understood")]),
        ("reps:\n  - {id: a, languages: [finnish]}", [(2, 25, "reps[0].languages[0]", "language")]),
        ("reps:\n  - {id: a, manager: nobody}", [(2, 5, "reps[0].manager", "is no rep")]),
        ("reps:\n  - {id: a, manager: a}", [(2, 5, "reps[0].manager", "own manager")]),
        ("reps:\n  - {id: a, absences: [x]}", [(2, 24, "reps[0].absences[0]", "names and values")]),
        ("reps:\n  - {id: a, absences: [{from: 2026-01-01}]}", [(2, 24, "reps[0].absences[0]", "from and until")]),
        (
            "reps:\n  - {id: a, absences: [{from: [], until: 2026-01-01}]}",
            [(2, 31, "reps[0].absences[0].from", "one value")],
        ),
        (
            "reps:\n  - {id: a, absences: [{from: 2026-01-02, until: 2026-01-01}]}",
            [(2, 24, "reps[0].absences[0]", "empty")],
        ),
        ("pools: [x]", [(1, 9, "pools[0]", "names and values")]),
        ("pools: [{name: p}]", [(1, 9, "pools[0]", "name and members")]),
        ("pools: [{name: p, members: [anna]}]", [(1, 28, "pools[0].members", "rep: weight")]),
        ("pools: [{name: p, members: {}}]", [(1, 28, "pools[0].members", "empty")]),
        ("pools: [{name: p, members: {gone: 1}}]", [(1, 29, "pools[0].members", "has left")]),
        ("pools: [{name: p, members: {nobody: 1}}]", [(1, 29, "pools[0].members", "is no rep")]),
        ("pools: [{name: p, members: {anna: 0}}]", [(1, 35, "pools[0].members.anna", "whole number")]),
        ("pools: [{name: p, members: {anna: 1, Anna: 2}}]", [(1, 38, "pools[0].members", "twice")]),
        ("pools: [{name: Ö, members: {anna: 1}}]", [(1, 16, "pools[0].name", "no id")]),
        (
            "pools: [{name: p, members: {anna: 1}}, {name: p, members: {ben: 1}}]",
            [(1, 47, "pools[1].name", "two pools")],
        ),
        (
            "reps: [{id: anna, active: no}]\npools: [{name: p, members: {anna: 1}}]",
            [(2, 29, "pools[0].members", "has left")],
        ),
    ],
)
def test_problems_of_a_team_file(text: str, expected: list[tuple[int, int, str, str]]) -> None:
    with pytest.raises(TeamError) as caught:
        parse_team(text, REPS)
    told = caught.value.problems
    assert [(one.line, one.column, one.path) for one in told] == [one[:3] for one in expected]
    assert all(words in one.message for one, (*_, words) in zip(told, expected, strict=True))
    assert all(one.hint for one in told)


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(TeamError, match=r"line 1, .*and 2 more") as caught:
        parse_team("reps: [{id: a, hours: x, email: y}]\npools: [{name: p, members: {nobody: 1}}]", {})
    assert [one.line for one in caught.value.problems] == [1, 1, 2]


def test_team_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team_yaml, "REPS_MAX", 1)
    monkeypatch.setattr(team_yaml, "ABSENCES_MAX", 0)
    with pytest.raises(TeamError) as caught:
        parse_team("reps: [{id: a, absences: [{from: 2026-01-01, until: 2026-01-01}]}, {id: b}]", {})
    assert {one.path for one in caught.value.problems} == {"reps", "reps[0].absences"}
    for bomb in ("[" * 50_000, "{a: " * 20_000, "- " * 20_000):
        with pytest.raises(TeamError, match="nested more than"):
            parse_team(bomb, {})
    monkeypatch.setattr(team_yaml, "CHARACTERS_MAX", 10)
    with pytest.raises(TeamError, match="characters"):
        parse_team("x" * 11, {})


@given(st.text(max_size=200))
def test_any_text_is_a_team_or_refused(text: str) -> None:
    for prefix in ("", "reps:\n  - id: a\n    ", "pools:\n  - name: p\n    members: "):
        try:
            parse_team(prefix + text, REPS)
        except TeamError:
            continue
