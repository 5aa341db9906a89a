"""What do files say? CSV as spreadsheets write it, team YAML, and how their problems are told."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.directory.core import accounts_csv, fields, team_yaml
from services.directory.core.accounts_csv import AccountsFile, parse_accounts
from services.directory.core.fields import FieldError
from services.directory.core.people import Absence, Member, Pool, Rep
from services.directory.core.team_yaml import TeamError, TeamFile, parse_team

EXAMPLES = Path(__file__).parents[3] / "examples"
REPS = {
    "anna": Rep(id="anna", name="Anna Aalto", email="anna@seller.example", timezone="Europe/Helsinki"),
    "ben": Rep(id="ben", name="Ben Berg"),
    "gone": Rep(id="gone", active=False),
}


def read(text: str | bytes, **more: Any) -> AccountsFile:
    return parse_accounts(text.encode() if isinstance(text, str) else text, REPS, **more)


def good(text: str | bytes) -> list[tuple[str, dict[str, Any]]]:
    found = read(text)
    assert found.bad == []
    return [(row.domain, row.values) for row in found.rows]


def bad(text: str | bytes) -> list[tuple[int, str, str]]:
    return [(row.line, row.column, row.value) for row in read(text).bad]


# -- accounts


def test_the_example_is_the_company_of_the_contract() -> None:
    found = read((EXAMPLES / "accounts.csv").read_bytes())
    assert (found.bad, found.ignored_columns) == ([], [])
    assert [(row.domain, row.values["name"], row.values["employees"], row.values["owner"]) for row in found.rows] == [
        ("nordwind.example", "Nordwind Industries Oyj", 2400, "anna"),
        ("stella.example", "Stella Logistics AB", 1500, "ben"),
        ("fjordsoft.example", "Fjordsoft AS", 120, None),
        ("kivi.example", "Kivi Consulting Oy", 60, None),
        ("tundra.example", "Tundra Systems AB", 210, None),
        ("vesi.example", "Vesitekniikka Oy", 90, None),
        ("pikkupaja.example", "Pikkupaja Oy", 6, None),
        ("lyseo.example", "Lyseo Foundation", 300, None),
    ]
    assert [row.values["named"] for row in found.rows] == [True] + [False] * 7


@pytest.mark.parametrize(
    "text",
    [
        "domain,name,employees\na.example,Åkeri,2 400\n",
        "\ufeffdomain;name;employees\r\na.example;Åkeri;2 400\r\n",
        "Verkkotunnus\tYrityksen nimi\tHenkilöstö\na.example\tÅkeri\t2400",
        'sep=;\n"Website";"Company name";"Number of employees"\n"https://www.a.example/fi";"Åkeri";"2400"\n',
        "\n\nDOMAIN | Name | Head count\n a.example | Åkeri | 2,400 \n\n",
    ],
)
def test_spellings_of_one_file(text: str) -> None:
    expected = [("a.example", {"name": "Åkeri", "employees": 2400})]
    assert good(text) == expected


def test_encodings_of_one_file() -> None:
    text = "domain;name\na.example;Åkeri – yö\n"
    expected = [("a.example", {"name": "Åkeri – yö"})]
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert good(text.encode(encoding)) == expected, encoding
    assert good("domain;name\na.example;Åkeri\n".encode("latin-1")) == [("a.example", {"name": "Åkeri"})]


def test_every_field() -> None:
    text = (
        "domain,name,industry,employees,country,named,owner,networks\n"
        'A.example,"Quote ""Me"", Ltd", Software ,"1 000",finland,Kyllä,Anna Aalto,"198.51.100.7/24; 2001:db8:1::/48 198.51.100.0/24"\n'
        "b.example,,,,,,,\n"
        "c.example,C,x,0,se,ei,ANNA@seller.example,\n"
    )
    assert good(text) == [
        ("a.example", {"name": 'Quote "Me", Ltd', "industry": "software", "employees": 1000, "country": "FI", "named": True, "owner": "anna", "networks": ("198.51.100.0/24", "2001:db8:1::/48")}),
        ("b.example", {"name": "", "industry": None, "employees": None, "country": None, "named": False, "owner": None, "networks": ()}),
        ("c.example", {"name": "C", "industry": "x", "employees": 0, "country": "SE", "named": False, "owner": "anna", "networks": ()}),
    ]  # fmt: skip


def test_only_the_columns_of_the_file_and_the_cells_of_the_row() -> None:
    found = read("domain,owner,Colour,\na.example,ben,red,\nb.example\n")
    assert [(row.line, row.domain, row.values) for row in found.rows] == [
        (2, "a.example", {"owner": "ben"}),
        (3, "b.example", {}),
    ]
    assert found.ignored_columns == ["Colour"]


def test_bad_rows_are_told_and_good_ones_kept() -> None:
    text = (
        "domain,name,employees,country,named,owner,networks\n"
        "good.example,Good,1,FI,yes,ben,\n"
        "co.uk,x,,,,,\n"
        "gmail.com,x,,,,,\n"
        '"multi.example","two\nlines",,,,,\n'
        "e.example,x,many,Atlantis,perhaps,nobody,10.0.0.0/8\n"
        "f.example,x,,,,gone,\n"
        "GOOD.example,again,,,,,\n"
        "g.example,x,,,,,,,more\n"
        ",no domain,,,,,\n"
        "also-good.example,x,,,,,\n"
    )
    found = read(text)
    assert [row.domain for row in found.rows] == ["good.example", "also-good.example"]
    assert [(row.line, row.column, row.value) for row in found.bad] == [
        (3, "domain", "co.uk"),
        (4, "domain", "gmail.com"),
        (5, "name", "two\nlines"),
        (7, "employees", "many"),
        (7, "country", "Atlantis"),
        (7, "named", "perhaps"),
        (7, "owner", "nobody"),
        (7, "networks", "10.0.0.0/8"),
        (8, "owner", "gone"),
        (9, "domain", "good.example"),
        (10, "", ""),
        (11, "domain", ""),
    ]
    assert found.bad_total == 12
    assert all(row.message and row.hint for row in found.bad)
    assert "line 2" in found.bad[-3].message


def test_rows_without_a_domain_cell() -> None:
    assert bad("name,domain\nx\n") == [(2, "domain", "")]


def test_networks_have_one_account() -> None:
    text = "domain,networks\na.example,192.0.2.0/24\nb.example,192.0.2.0/24\nb.example,192.0.2.0/25\nc.example,203.0.113.0/24\n"
    found = read(text, taken={"203.0.113.0/24": "old.example", "192.0.2.0/24": "a.example"})
    assert [(row.line, row.value) for row in found.bad] == [(3, "192.0.2.0/24"), (5, "203.0.113.0/24")]
    assert [(row.line, row.domain) for row in found.rows] == [(2, "a.example"), (4, "b.example")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no column of domains"),
        (b"name,owner\nx,y\n", "no column of domains"),
        (b"domain,website\na.example,b.example\n", "two columns hold the domain"),
        (b"PK\x03\x04\x00\x00", "no text file"),
        (b'domain,name\na.example,"' + b"x" * 140_000 + b'"\n', "line 2"),
    ],
)
def test_files_that_cannot_be_read_say_why(body: bytes, words: str) -> None:
    with pytest.raises(FieldError, match=words) as caught:
        read(body)
    assert caught.value.hint


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_csv, "ROWS_MAX", 2)
    monkeypatch.setattr(accounts_csv, "BAD_MAX", 1)
    assert len(read("domain\na.example\nb.example\n").rows) == 2
    with pytest.raises(FieldError, match="more than 2 rows"):
        read("domain\na.example\nb.example\nc.example\n")
    found = read("domain\n!\n?\n")
    assert (len(found.bad), found.bad_total) == (1, 2)
    monkeypatch.setattr(accounts_csv, "BYTES_MAX", 10)
    with pytest.raises(FieldError, match="bytes"):
        read("domain\na.example\n")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for prefix in (b"", b"domain,name,employees,networks\n", b"domain;owner\n"):
        try:
            found = read(prefix + body)
        except FieldError:
            continue
        assert found.bad_total >= len(found.bad)
        assert len({row.domain for row in found.rows}) == len(found.rows)


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


def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_only() -> None:
    text = 'domain,name\na.example,"A ""one"" Oy"\nb.example,"B Oy\nc.example,C Oy\nd.example,""\ne.example,E\n'
    found = parse_accounts(text.encode(), {})
    assert [(row.line, row.domain) for row in found.rows] == [
        (2, "a.example"), (4, "c.example"), (5, "d.example"), (6, "e.example"),
    ]  # fmt: skip
    assert [(bad.line, bad.message) for bad in found.bad] == [(3, "a quotation mark is opened and never closed")]
    noted = 'domain,notes\na.example,"two\nlines"\nb.example,"two\nmore"\n'
    assert [row.line for row in parse_accounts(noted.encode(), {}).rows] == [2, 4]
    with pytest.raises(FieldError):
        parse_accounts(b'"domain,name\na.example,A\n', {})
