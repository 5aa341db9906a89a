"""Facts about person and company, in whatever spelling they come."""

from typing import Any

import pytest

from services.ingest.core.traits import company_facts, host_of, person_traits


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (250, 250),
        ("250", 250),
        ("1,200", 1200),
        ("51-200", 51),
        ("2 400", 2400),
        ("500+", 500),
        (True, None),
        (-1, None),
        ("many", None),
        ([1], None),
    ],
)
def test_head_count(value: Any, count: int | None) -> None:
    assert person_traits({"employees": value})[0].get("employees") == count


def test_company_inside_a_person() -> None:
    made, account, left_out = person_traits(
        {
            "name": " Åsa Öberg ",
            "company": {
                "name": "Tundra Systems AB",
                "industry": "software",
                "employees": "210",
                "website": "https://www.Tundra.example/x",
            },
        }
    )
    assert made == {"name": "Åsa Öberg", "company": "Tundra Systems AB", "industry": "software", "employees": 210}
    assert account["domain"] == "tundra.example"
    assert not left_out


def test_address_gives_the_country() -> None:
    assert person_traits({"address": {"country": "FI", "city": "Turku"}})[0] == {"country": "FI"}
    assert company_facts({"address": {"country": "SE"}, "nested": {"a": 1}}) == {"country": "SE"}
    assert person_traits({"address": {"city": "Turku"}})[0] == {}


def test_what_does_not_fit_is_said() -> None:
    assert person_traits({"things": {"a": 1}})[2]
    assert person_traits({"list": [1, 2]})[2]
    assert not person_traits({"empty": ""})[2]
    made, _, left_out = person_traits({f"trait{n}": n for n in range(500)} | {f"text{n}": "x" for n in range(500)})
    assert left_out
    assert len(made) < 500


def test_domain_of_a_person() -> None:
    assert person_traits({"domain": "www.Fjordsoft.example"})[1] == {"domain": "fjordsoft.example"}
    assert person_traits({"website": "https://kivi.example/a"})[1] == {"domain": "kivi.example"}


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://www.nordwind.example/path", "nordwind.example"),
        ("nordwind.example", "nordwind.example"),
        ("", None),
        (None, None),
        (7, None),
        ("localhost", None),
        ("http://[bad", None),
        ("a b.example", None),
        ("x" * 5000, None),
    ],
)
def test_host(value: object, host: str | None) -> None:
    assert host_of(value) == host
