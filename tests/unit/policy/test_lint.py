"""Warnings about what is allowed but surely not meant."""

import json
from typing import Any

import pytest

from services.policy.core.document import read_document
from services.policy.core.lint import Known, lint_policy
from services.policy.core.problems import PolicyError


def warned(example_text: str, change: Any, known: Known | None = None) -> list[str]:
    document = read_document(example_text).data
    change(document)
    return [str(problem) for problem in lint_policy(json.dumps(document, indent=1), known)]


def when(index: int, text: str) -> Any:
    def change(document: dict[str, Any]) -> None:
        document["segments"][index]["when"] = text

    return change


@pytest.mark.parametrize(
    ("index", "text", "words"),
    [
        (1, "account.employees >= 1000", "no lead ever comes to the segment midmarket"),
        (0, "true", "no lead ever comes to the segment midmarket"),
        (
            0,
            "account.industry in icp.industries || !(account.industry in icp.industries)",
            "no lead ever comes to the segment volume",
        ),
        (0, "false", "no lead ever comes to the segment enterprise"),
        (0, 'account.country == "FI" && account.country == "SE"', "no lead ever comes to the segment enterprise"),
        (
            2,
            "account.employees < 50",
            "some leads are in no segment and stay in nurture for ever, for example number of employees: not known",
        ),
        (2, "account.employees == 7", "some leads are in no segment"),
        (0, 'fit.grade == "E"', 'fit grade is never "E" (known: A, B, C, D)'),
        (0, 'persona.role == "decision_makers"', 'the person\'s role is never "decision_makers"'),
        (0, 'account.industry == "energy"', 'industry is never "energy"'),
    ],
)
def test_segments(example_text: str, index: int, text: str, words: str) -> None:
    found = warned(
        example_text,
        when(index, text),
        Known(industries=frozenset({"manufacturing", "logistics", "software", "retail"})),
    )
    assert any(words in one for one in found), found


@pytest.mark.parametrize(
    "text",
    [
        "engagement.score > 40",
        "signals.pricing_visits_7d >= 1",
        'account.domain == "x.example"',
        "account.owner != null",
    ],
)
def test_no_false_alarm(example_text: str, text: str) -> None:
    assert warned(example_text, when(0, text)) == []


def test_too_many_cases_are_left_out(example_text: str) -> None:
    text = " || ".join(f"signals.page.viewed_{n}d > {n}" for n in range(1, 12))
    assert warned(example_text, when(0, text)) == []


def test_pools_and_industries_of_the_directory(example_text: str) -> None:
    known = Known(pools=frozenset({"sdr-midmarkt"}), industries=frozenset({"retail", "manufacturin"}))
    found = warned(example_text, lambda _: None, known)
    assert any('no pool "sdr-midmarket"' in one and "sdr-midmarkt" in one for one in found)
    assert any('no pool "closers"' in one and "make the pool first" in one for one in found)
    assert any('the industry "manufacturing"' in one and '"manufacturin"' in one for one in found)


def test_personas_that_nobody_is(example_text: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["personas"].insert(0, {"role": "influencer"})

    found = warned(example_text, change)
    assert sum("nobody is ever this" in one for one in found) == 5


def test_a_limit_that_no_one_reaches(example_text: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["stages"]["qualified"] = "engagement.score >= 900"

    assert any("engagement never passes" in one for one in warned(example_text, change))

    def unbounded(document: dict[str, Any]) -> None:
        change(document)
        document["signals"]["page.viewed"]["saturation"] = 0

    assert warned(example_text, unbounded) == []


def test_the_place_is_inside_the_condition(example_text: str) -> None:
    text = example_text.replace('fit.grade in ["A", "B"] &&', 'fit.grade in ["A", "Z"] &&')
    (problem,) = lint_policy(text)
    line = text.splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith('"Z"')
    assert problem.path == "stages.qualified"


def test_no_policy_at_all() -> None:
    with pytest.raises(PolicyError):
        lint_policy("a: 1")


def test_a_cadence_that_nobody_gets(example_text: str) -> None:
    def change(document: dict[str, Any]) -> None:
        steps = [{"day": 1, "do": "call"}]
        document["cadences"] += [
            {"name": "midmarket", "segments": ["midmarket"], "steps": steps},
            {"name": "rest", "steps": steps},
            {"name": "never", "steps": steps},
        ]

    found = warned(example_text, change)
    assert [one.split(": ", 1)[1].split(":")[0] for one in found] == ["cadences.1.name", "cadences.3.name"]
    assert "no lead ever gets the cadence midmarket: those before it are for all its segments" in found[0]


def test_languages_that_there_are_not(example_text: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["language"] = "xx"
        document["templates"][0]["language"] = "dk"
        document["templates"][1]["language"] = "no"

    found = [one for one in warned(example_text, change) if "there is no language" in one]
    assert len(found) == 2
    assert 'there is no language "dk": nobody would get this (Danish is da)' in found[0] + found[1]
    assert 'there is no language "xx": nobody would get this (the codes are those of ISO 639-1' in found[0] + found[1]
