"""Errors of conditions: what is said, where, and with which hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.core.condition import Condition, ConditionError, compile_condition
from services.policy.core.facts import FactNames

NAMES = FactNames({"page.viewed": None, "pricing_visits": None}, ("identified",))


def made(text: str) -> Condition:
    return compile_condition(text, NAMES)


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ("engagement.scor >= 40", 1, 1, "unknown name `engagement.scor`", 'did you mean "engagement.score"?'),
        ("true && signals.pricing_visit_7d > 1", 1, 9, "unknown name", "signals.pricing_visits"),
        ("signals.pricing_visits_400d > 1", 1, 1, "unknown name", "signals.pricing_visits"),
        ("zzz", 1, 1, "unknown name `zzz`", "docs/policy.md"),
        ("stage.qualified", 1, 1, "unknown name", "stage.identified"),
        ("lead.known &&\n  account.names", 2, 3, "unknown name `account.names`", "account.name"),
        ("engagement.score", 1, 1, "this is a number", "compare"),
        ("lead.known && 1", 1, 15, "true or false is needed here", "compare"),
        ("!fit.grade", 1, 2, "true or false is needed here, but this is a text", ""),
        ("account.employees >= '1000'", 1, 19, "do not go together", "quotes"),
        ("fit.grade == 1", 1, 11, "do not go together", "quotes"),
        ("lead.known < true", 1, 12, "`<` takes two numbers or two texts", ""),
        ("account.owner < null", 1, 15, "`<` takes two numbers or two texts", ""),
        ("icp.roles == icp.roles", 1, 11, "lists cannot be compared", "in list"),
        ("[] == []", 1, 4, "lists cannot be compared", ""),
        ("fit.grade in 'AB'", 1, 14, "`in` needs a list", "[ ]"),
        ("fit.grade in [1, 2]", 1, 11, "a text is never in a list of numbers", ""),
        ("null in ['a']", 1, 1, "null cannot be in a list", ""),
        ("fit.grade in ['A', 1]", 1, 14, "values of one kind", ""),
        ("fit.grade in [null]", 1, 14, "null cannot stand in a list", ""),
        ("fit.grade in [icp.roles]", 1, 14, "a list of texts cannot stand in a list", ""),
        ("engagement.score % 2 > 1", 1, 18, "whole numbers", ""),
        ("fit.grade + 1 == 'A1'", 1, 13, "a text and a number cannot be added", ""),
        ("fit.grade - 1 == 0", 1, 1, "`-` takes numbers, but this is a text", ""),
        ("-fit.grade == 1", 1, 2, "`-` takes numbers", ""),
        ("1 * fit.grade == 1", 1, 5, "`*` takes numbers", ""),
        ("lead.known ? 1 : 'x'", 1, 12, "do not go together", ""),
        ("lead.known and true", 1, 12, "`and` is not expected here", "write &&"),
        ("lead.known or true", 1, 12, "`or`", "write ||"),
        ("not lead.known", 1, 1, "`not` is not part of conditions", "write !"),
        ("True", 1, 1, "`True` is not part", "write true"),
        ("engagement.score = 40", 1, 18, "`=` cannot stand here", "write =="),
        ("lead.known & true", 1, 12, "`&` cannot stand here", "write &&"),
        ("fit.grade == 'A", 1, 14, "`'` cannot stand here", "not closed"),
        ("has(account.owner)", 1, 4, "functions are not part", "!= null"),
        ("icp.roles[0] == 'x'", 1, 10, "parts of lists", "in list"),
        ("[1].x == 1", 1, 4, "`.` cannot stand here", ""),
        ("(lead.known", 1, 12, "`)` is missing before the end", "character 1"),
        ("fit.grade in ['A'", 1, 18, "`]` is missing before the end", ""),
        ("fit.grade in ['A' 'B']", 1, 19, "`]` is missing before `'B'`", ""),
        ("lead.known ? true", 1, 18, "`:` is missing", ""),
        ("lead.known true", 1, 12, "`true` is not expected here", "join"),
        ("lead.known &&", 1, 14, "a value is missing before the end", ""),
        ("&& lead.known", 1, 1, "a value is missing before `&&`", ""),
        ("in ['A']", 1, 1, "a value is missing before `in`", ""),
        ("", 1, 1, "a value is missing before the end", ""),
        ("fit.grade == '\\q'", 1, 15, "`\\q` is not known", "backslash"),
        ("engagement.score > 99999999999999999999", 1, 20, "too large", ""),
        ("(" * 30 + "true" + ")" * 30, 1, 25, "nested deeper", "split"),
        ("!" * 30 + "true", 1, 24, "nested deeper", ""),
        ("1" + " + 1" * 30 + " > 0", 1, 95, "nested deeper", ""),
        ("true" + " " * 2000, 1, 1, "longer than 2,000", "in"),
    ],
)
def test_an_error_says_what_where_and_how_to_mend_it(
    text: str, line: int, column: int, message: str, hint: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        made(text)
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    assert (error.line, error.column) == (line, column)


def test_long_chains_of_and_are_not_deep() -> None:
    assert made(" && ".join(["true"] * 200))({})


def test_spaces_comments_and_escapes() -> None:
    assert made("account . name == 'a' // the name\n  && fit.grade == \"\\u0041\"")(
        {"account.name": "a", "fit.grade": "A"}
    )


def test_a_condition_knows_what_it_reads_and_its_limits() -> None:
    condition = made(
        "engagement.score >= 40 || 30 < engagement.score || (-1 > 0 && fit.grade in ['A', 'B'] ? lead.known : !account.named)"
    )
    assert condition.paths == {"engagement.score", "fit.grade", "lead.known", "account.named"}
    assert condition.limits("engagement.score") == [40.0, 30.0]
    assert [text for text, _ in condition.texts("fit.grade")] == ["A", "B"]
    assert made("'A' == fit.grade && account.employees in [1, 2]").numbers("account.employees") == [1.0, 2.0]
    assert condition.text.startswith("engagement")
    assert condition.test({"engagement.score": 41.0})


def test_names_of_facts() -> None:
    assert NAMES["signals.page.viewed_30d"] == "number"
    assert NAMES["signals.pricing_visits"] == "number"
    assert "signals.page.viewed_0d" not in NAMES
    assert "x_7d" not in NAMES
    assert len(NAMES) == len(list(NAMES))


@given(st.text(alphabet="ab.01 ()[]!&|<>=+-*/%?:,'\"\\innull\n", max_size=60))
def test_any_text_compiles_or_says_where_it_does_not(text: str) -> None:
    line, column = 1, 1
    try:
        compile_condition(text, {"a": "bool", "b": "int", "a.b": "string"})({})
    except ConditionError as error:
        line, column = error.line, error.column
    assert 1 <= line <= text.count("\n") + 1
    assert column >= 1
