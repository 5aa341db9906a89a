"""The counterfactual in words."""

from typing import Any

import pytest

from services.policy.core.compile import Policy, compile_policy
from services.policy.core.condition import compile_condition
from services.policy.core.facts import FactNames
from services.policy.core.words import alternatives, number, plural, shown, signal_noun, spelling_key

NAMES: dict[str, Any] = {
    **FactNames({"demo_request": None, "pricing_visits": None, "reply": None, "email.clicked": None}, ("qualified",)),
    "signals.pricing_visits_7d": "number",
    "signals.pricing_visits_1d": "number",
    "other.thing": "bool",
}
LABELS = {"pricing_visits": "pricing visit"}
ROLES = {"icp.roles": ("decision_maker", "influencer")}


def told(text: str, facts: dict[str, Any]) -> list[str]:
    return [r.text for r in compile_condition(text, NAMES, LABELS).missing({**ROLES, **facts})]


@pytest.mark.parametrize(
    ("text", "facts", "words"),
    [
        ("engagement.score >= 40", {"engagement.score": 38.0}, "engagement is 38, 2 points short of 40"),
        ("engagement.score >= 40", {"engagement.score": 39.0}, "engagement is 39, 1 point short of 40"),
        ("engagement.score >= 40", {"engagement.score": 39.98}, "engagement is 39.9, 0.1 points short of 40"),
        ("40 <= engagement.score", {"engagement.score": 37.64}, "engagement is 37.6, 2.4 points short of 40"),
        ("engagement.score > 40", {"engagement.score": 40}, "engagement is 40, more than 40 is needed"),
        ("engagement.score < 40", {"engagement.score": 45.5}, "engagement is 45.5; less than 40 is needed"),
        ("!(engagement.score >= 40)", {"engagement.score": 45}, "engagement is 45; less than 40 is needed"),
        ("engagement.score >= 40", {}, "engagement is not known; 40 or more is needed"),
        ("fit.grade in ['A', 'B']", {"fit.grade": "C"}, "fit grade is C; A or B is needed"),
        ("fit.grade in ['A', 'B', 'C']", {}, "fit grade is not known; A, B or C is needed"),
        ("!(fit.grade in ['D'])", {"fit.grade": "D"}, "fit grade is D; anything else is needed"),
        ("fit.grade == 'A'", {"fit.grade": "C"}, "fit grade is C; A is needed"),
        ("fit.grade != 'D'", {"fit.grade": "D"}, "fit grade is D; anything else is needed"),
        ("'A' == fit.grade", {}, "fit grade is not known; A is needed"),
        ("fit.grade < 'C'", {"fit.grade": "D"}, "fit grade is D; less than C is needed"),
        ("fit.grade < 'C'", {}, "fit grade is not known; less than C is needed"),
        ("persona.role in icp.roles", {"persona.role": "end_user"}, "the person's role is end user; decision maker or influencer is needed"),
        ("persona.role in icp.roles", {}, "the person's role is not known; decision maker or influencer is needed"),
        ("fit.grade in []", {"fit.grade": "A"}, "no fit grade is allowed by the policy"),
        ("lead.known", {}, "we do not know yet who this is"),
        ("!lead.known", {"lead.known": True}, "we know who this is"),
        ("account.named", {"account.named": False}, "the company is not a named account"),
        ("other.thing", {}, "other thing is not true"),
        ("!other.thing", {"other.thing": True}, "other thing is true"),
        ("stage.qualified", {}, "the lead is not yet qualified"),
        ("!stage.qualified", {"stage.qualified": True}, "the lead is already qualified"),
        ("account.employees >= 1000", {"account.employees": 120}, "the number of employees is 120, 880 short of 1,000"),
        ("account.employees >= 1000", {}, "the number of employees is not known; 1,000 or more is needed"),
        ("account.employees != 5", {"account.employees": 5}, "number of employees is 5; anything else is needed"),
        ("signals.demo_request > 0", {"signals.demo_request": 0.0}, "no demo request yet"),
        ("signals.demo_request >= 2", {"signals.demo_request": 0.0}, "no demo request yet; 2 are needed"),
        ("signals.pricing_visits_7d >= 2", {"signals.pricing_visits_7d": 1.0}, "1 pricing visit in the last 7 days, 1 more is needed"),
        ("signals.pricing_visits_7d >= 5", {"signals.pricing_visits_7d": 2.0}, "2 pricing visits in the last 7 days, 3 more are needed"),
        ("signals.pricing_visits_7d > 0", {"signals.pricing_visits_7d": 0.0}, "no pricing visit in the last 7 days"),
        ("signals.pricing_visits_1d > 0", {"signals.pricing_visits_1d": 0.0}, "no pricing visit today"),
        ("signals.reply > 1", {"signals.reply": 0.7}, "0.7 replies, 1.3 more are needed"),
        ("signals.email.clicked > 0", {"signals.email.clicked": 0.0}, "no e-mail click yet"),
        ("signals.pricing_visits_7d < 2", {"signals.pricing_visits_7d": 2.0}, "the number of pricing visits in the last 7 days is 2; less than 2 is needed"),
        ("signals.demo_request > 0", {}, "the number of demo requests is not known; more than 0 is needed"),
        ("account.owner != null", {}, "account owner is not known"),
        ("account.owner == null", {"account.owner": "anna"}, "account owner is known (anna)"),
        ("null == account.owner", {"account.owner": "anna"}, "account owner is known (anna)"),
        ("fit.score > engagement.score", {"fit.score": 5.0}, "engagement is not known"),
        ("fit.score + engagement.score >= 100", {"fit.score": 50, "engagement.score": 30.0}, "fit score + engagement is 80, 20 short of 100"),
        ("-fit.score > 0", {"fit.score": 50}, "minus fit score is -50, more than 0 is needed"),
        ("(!lead.known) == true", {"lead.known": True}, "not lead known is no; yes is needed"),
        ("lead.known == true", {"lead.known": False}, "lead known is no; yes is needed"),
        ("(lead.known && true) == true", {"lead.known": False}, "the result is no; yes is needed"),
        ("(fit.grade in ['A', 'B']) == true", {}, "fit grade in A, B is no; yes is needed"),
        ("true == (1 == 2)", {}, "1 == 2 is no; yes is needed"),
        ("engagement.score / fit.score > 1", {"engagement.score": 0.0, "fit.score": 0.0}, "engagement / fit score is nan; more than 1 is needed"),
        ("false", {}, "the policy never lets this happen"),
        ("1 > 2", {}, "1 is 1, more than 2 is needed"),
        ("lead.known ? fit.grade == 'A' : account.named", {"lead.known": True}, "fit grade is not known; A is needed"),
        ("lead.known ? fit.grade == 'A' : account.named", {}, "the company is not a named account"),
        ("account.employees == 5", {}, "the number of employees is not known; 5 is needed"),
        ("account.name != account.domain", {}, "the company's name is not known"),
    ],
)  # fmt: skip
def test_one_sentence(text: str, facts: dict[str, Any], words: str) -> None:
    assert told(text, facts) == [words]


def test_all_parts_of_and_are_told_each_once() -> None:
    text = "lead.known && fit.grade == 'A' && (lead.known && engagement.score >= 40)"
    assert told(text, {"engagement.score": 38}) == [
        "we do not know yet who this is",
        "fit grade is not known; A is needed",
        "engagement is 38, 2 points short of 40",
    ]


def test_of_alternatives_the_nearest_is_told() -> None:
    text = "signals.demo_request > 0 || (fit.grade in ['A', 'B'] && engagement.score >= 40)"
    facts = {"signals.demo_request": 0.0, "fit.grade": "B", "engagement.score": 38}
    assert told(text, facts) == ["engagement is 38, 2 points short of 40"]
    assert told(text, {**facts, "fit.grade": "D", "engagement.score": 0}) == ["no demo request yet"]
    assert told("fit.grade == 'A' || fit.grade in ['B']", {"fit.grade": "C"}) == ["fit grade is C; B is needed"]


def test_not_turns_and_and_or_around() -> None:
    assert told("!(lead.known || account.named)", {"lead.known": True, "account.named": True}) == [
        "we know who this is",
        "the company is a named account",
    ]
    assert told("!(lead.known && engagement.score > 1)", {"lead.known": True, "engagement.score": 1.2}) == [
        "engagement is 1.2; 1 or less is needed"
    ]


def test_reasons_carry_code_seen_and_limit() -> None:
    condition = compile_condition("engagement.score >= 40", NAMES)
    (reason,) = condition.missing({"engagement.score": 38.0})
    assert (reason.code, reason.seen, reason.limit, reason.points) == ("engagement_below", 38.0, 40, 2.0)
    codes = {
        "fit.grade == 'A'": "fit_below",
        "persona.role == 'x'": "persona_differs",
        "person.title == 'x'": "person_differs",
        "account.named": "account_differs",
        "lead.known": "lead_not_known",
        "signals.demo_request > 0": "signal_missing",
        "stage.qualified": "stage_below",
        "other.thing": "condition_not_met",
        "1 + fit.score > 1": "fit_below",
        "-fit.score > 1": "fit_below",
        "(lead.known ? 1 : 2) > 3": "condition_not_met",
    }
    for text, code in codes.items():
        assert compile_condition(text, NAMES).missing({})[0].code == code


def test_a_true_condition_misses_nothing() -> None:
    assert told("lead.known || false", {"lead.known": True}) == []


def test_lower_stages_are_spelled_out(policy: Policy) -> None:
    facts = {
        **ROLES, "lead.known": True, "fit.grade": "A", "persona.role": "decision_maker", "engagement.score": 39.0,
        "signals.pricing_visits_7d": 3.0, "signals.demo_request": 0.0, "stage.qualified": False,
    }  # fmt: skip
    texts = [r.text for r in policy.missing("ready_to_buy", {**facts, "signals.demo_request": None})]
    assert texts == ["engagement is 39, 1 point short of 40"]
    assert policy.missing("customer", facts) == []
    assert policy.missing("identified", facts) == []


def test_nothing_is_told_twice(example_text: str) -> None:
    text = example_text.replace("(stage.qualified && ", "(stage.qualified && engagement.score >= 40 && ")
    policy = compile_policy(text.replace("(signals.demo_request > 0 &&", "(false &&"))
    facts = {
        **ROLES,
        "fit.grade": "A",
        "persona.role": "decision_maker",
        "engagement.score": 39.0,
        "signals.pricing_visits_7d": 5.0,
    }
    assert [r.text for r in policy.missing("ready_to_buy", facts)] == ["engagement is 39, 1 point short of 40"]


@pytest.mark.parametrize(
    ("noun", "many"), [("reply", "replies"), ("visit", "visits"), ("pass", "passes"), ("day", "days"), ("box", "boxes")]
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


def test_small_words() -> None:
    assert alternatives(["a"]) == "a"
    assert (number(1234), number(2.25), number(float("inf")), number(-3)) == ("1,234", "2.2", "inf", "-3")
    assert (shown(None), shown(True), shown(False), shown(1.0), shown("a_b")) == ("not known", "yes", "no", "1", "a b")
    assert (signal_noun("pricing_visits"), signal_noun("email.opened"), signal_noun("access")) == (
        "pricing visit",
        "e-mail open",
        "access",
    )
    assert spelling_key("Email Opened") == spelling_key("email_opened") == spelling_key("emailOpened")
