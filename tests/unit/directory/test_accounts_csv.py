"""What does a file of accounts say? CSV as spreadsheets write it, and how its problems are told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.directory.core import accounts_csv
from services.directory.core.accounts_csv import AccountsFile, parse_accounts
from services.directory.core.fields import FieldError
from services.directory.core.people import Rep

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
