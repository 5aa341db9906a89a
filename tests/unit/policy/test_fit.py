"""Fit of the people of the example's stories, and of those on the edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.messages import AccountRef, PersonRef
from services.policy.core.compile import Policy, compile_policy
from services.policy.core.fit import fit_of


def company(industry: str | None = None, employees: int | None = None, country: str | None = "FI") -> AccountRef:
    return AccountRef(domain="x.example", industry=industry, employees=employees, country=country)


def person(function: str | None, level: str | None, title: str | None = "Their title") -> PersonRef:
    return PersonRef(function=function, level=level, title=title)


NORDWIND = company("manufacturing", 2400)
LYSEO = company("education", 300)


@pytest.mark.parametrize(
    ("account", "who", "grades"),
    [
        (NORDWIND, person("operations", "vp"), "A"),
        (company("logistics", 1500, "SE"), person("operations", "c_level"), "A"),
        (company("software", 120, "NO"), person("marketing", "head"), "AB"),
        (company("software", 60), person("marketing", "head"), "AB"),
        (company("software", 210, "SE"), person("marketing", "head"), "AB"),
        (company("manufacturing", 90), person("marketing", "head"), "AB"),
        (company("software", 120), person("sales", "director"), "AB"),
        (NORDWIND, person("operations", "director"), "A"),
        (company("retail", 6), person("general_management", "c_level"), "ABC"),
        (None, person("student", "student"), "D"),
        (None, person(None, "student"), "D"),
        (None, person("student", None), "D"),
        (None, person(None, None), "D"),
        (NORDWIND, person("operations", "student"), "D"),
        (LYSEO, person("education", "staff"), "D"),
        (LYSEO, person(None, None), "D"),
        (LYSEO, person("education", "head"), "D"),
        (NORDWIND, person(None, None), "BC"),
        (company("software", 60), person(None, None), "BC"),
        (company("retail", 6), person(None, None), "BC"),
        (NORDWIND, person(None, "head"), "BC"),
        (LYSEO, person("operations", "vp"), "C"),
        (AccountRef(domain="y.example", unlisted=True), person("operations", "vp"), "C"),
        (None, person("operations", "vp"), "C"),
    ],
)
def test_grades(policy: Policy, account: AccountRef | None, who: PersonRef, grades: str) -> None:
    assert fit_of(account, who, policy).grade in grades


def texts(policy: Policy, account: AccountRef | None, who: PersonRef) -> list[str]:
    return [reason.text for reason in fit_of(account, who, policy).reasons]


def test_reasons_are_sentences_with_points(policy: Policy) -> None:
    fit = fit_of(NORDWIND, PersonRef(title="VP Operations", function="operations", level="vp"), policy)
    assert [(r.code, r.text, r.points) for r in fit.reasons] == [
        ("fit_industry", "manufacturing is one of our industries", 30.0),
        ("fit_size", "2,400 employees: 1,000 or more", 15.0),
        ("fit_country", "FI is one of our countries", 5.0),
        ("fit_role", '"VP Operations" is a decision maker', 40.0),
        ("fit_level", "level: VP", 10.0),
    ]
    assert fit.score == 100.0


def test_other_reasons(policy: Policy) -> None:
    assert texts(policy, None, person(None, None, None)) == [
        "the company is not known",
        "the person's title is not known",
    ]
    assert texts(policy, company(None, None, None), person(None, None, "Zzz")) == [
        "the industry is not known",
        "the company's size is not known",
        "the company's country is not known",
        '"Zzz" tells us no role',
    ]
    assert texts(policy, company("education", 1, "fr"), person("legal", None, None)) == [
        "education is not one of our industries",
        "1 employee is fewer than the 2 we look for",
        "FR is not one of our countries",
        "legal is no role that we sell to",
    ]
    assert (
        texts(policy, company("Retail ", 6, "fi"), person("legal", "head", "Counsel"))[3]
        == '"Counsel" is no role that we sell to'
    )
    assert texts(policy, None, person("procurement", "c_level", None))[1:] == [
        "the person is an influencer",
        "level: C-level",
    ]
    assert texts(policy, None, person("student", "student", None))[1:] == [
        "the person is a student",
        "a student does not buy from us: grade D",
    ]
    assert texts(policy, None, PersonRef(role="user"))[1] == "the person is a user"


def test_every_country_and_a_largest_size(example_text: str) -> None:
    policy = compile_policy(
        example_text.replace("countries: [FI, SE, NO, DK, EE, DE]", "countries: []").replace(
            "{from: 2}", "{from: 2, to: 500}"
        )
    )
    found = texts(policy, company("retail", 501), person(None, None))
    assert found[1:3] == ["501 employees is more than the 500 we look for", "every country is right"]


@given(
    st.sampled_from([None, "manufacturing", "education"]),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.sampled_from([None, "operations", "education", "student"]),
    st.sampled_from([None, "vp", "staff", "student"]),
)
def test_the_score_is_0_to_100_and_what_the_reasons_add_up_to(
    industry: str | None, employees: int | None, function: str | None, level: str | None
) -> None:
    policy = _EXAMPLE
    fit = fit_of(company(industry, employees), person(function, level), policy)
    assert 0 <= fit.score <= 100
    assert fit.score == pytest.approx(sum(r.points or 0 for r in fit.reasons), abs=0.1)


def _example() -> Policy:
    from tests.unit.policy.conftest import EXAMPLE

    return compile_policy(EXAMPLE.read_text(encoding="utf-8"))


_EXAMPLE = _example()
