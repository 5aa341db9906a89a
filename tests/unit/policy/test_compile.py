"""From text to `Policy`: problems with their place, numbers of signals, windows."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.signals import SIGNALS
from services.policy.core.compile import Policy, PolicyError, Problem, compile_policy, read_policy, uncoded
from services.policy.core.document import read_document
from services.policy.core.model import policy_schema

SCHEMA_FILE = Path(__file__).parents[3] / "schemas" / "json" / "policy.schema.json"


def problems(text: str) -> list[Problem]:
    with pytest.raises(PolicyError) as caught:
        compile_policy(text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("old", "new", "found", "path", "message", "hint"),
    [
        # shape
        ("label: Enterprise", "lable: Enterprise", "lable", "segments.0.lable", '"lable" is not a setting here', '"label"'),
        ("fresh_s: 120", "fresh: 120", "fresh: 120", "alerts.fresh", "not a setting here", '"fresh_s"'),
        ("points: 12\n", "pints: 12\n", "pints: 12", "signals.pricing_visits.pints", "not a setting", '"points"'),
        ("points: 12\n", "points: lots\n", "lots", "signals.pricing_visits.points", "a number is needed", ""),
        ("points: 12\n", "points: true\n", "true\n", "signals.pricing_visits.points", "a number is needed", ""),
        ("points: 12\n", "points: 1e9\n", "1e9", "signals.pricing_visits.points", "less than or equal to 1000", ""),
        ("half_life: 21d", "half_life: 21", "21\n", "signals.calculator_used.half_life", "45m, 12h, 30d or 2w", ""),
        ("half_life: 21d", "half_life: 5m", "5m\n", "signals.calculator_used.half_life", "greater than or equal to 3600", ""),
        ("about: The", "about: 12 #The", "12 #", "about", "a text is needed", "quotes"),
        ("    handover_to: closers\n", "", "name: volume", "segments.2.handover_to", '"handover_to" is missing', "add it"),
        ("handover_at: identified", "handover_at: known", "known", "segments.0.handover_at", "one of 'identified', 'qualified' or 'ready_to_buy'", ""),
        ("  identified: lead", "  identifid: lead", "identifid: lead", "stages.identifid", '"identifid" is not known here', ""),
        ("name: enterprise ", "name: Enterprise ", "Enterprise ", "segments.0.name", "not written as it must be", "lower case"),
        ("[FI, SE,", "[FI, se,", "se,", "icp.countries.1", "not written", "two capital"),
        ("https://shop.aurora.example/start\n    shop_when", "shop\n    shop_when", "shop\n", "segments.2.shop_url", "not written", "https://"),
        ("language: fi", "language: fin", "fin\n", "templates.1.language", "not written", "two small"),
        ("  pricing_visits:\n", "  Pricing:\n", "Pricing:\n", "signals.Pricing", "not written", "lower case"),
        ("industries: [manufacturing, logistics, software, retail]", "industries: []", "[]", "icp.industries", "at least 1 item", ""),
        ("industries: [manufacturing, logistics, software, retail]", "industries: retail", "retail\n", "icp.industries", "a list is needed", ""),
        ("sla: {remind_minutes: 15, escalate_minutes: 45, reassign_minutes: 60}", "sla: 15", "15\n", "sla", "a group of settings", ""),
        ('name: ["Savings Calculator Used", "ROI Calculator Used"]', "name: [1]", "1]", "signals.calculator_used.name.0", "a text is needed", "quotes"),
        # rules
        ("  calculator_used:", "  calculator_7d:", "calculator_7d:", "signals.calculator_7d", "read as a number of days", "another name"),
        ("{points: 24, half_life: 30d, saturation: 80}", "{points: 24, path_segment: x}", "webinar.attended:", "signals.webinar.attended", "built in", "a name of its own"),
        ("of: page.viewed", "of: page.view", "page.view\n", "signals.pricing_visits.of", 'no signal "page.view"', "page.viewed"),
        ("of: page.viewed", "of: pricing_visits", "pricing_visits\n", "signals.pricing_visits.of", "special case itself", ""),
        ("of: page.viewed", "of: demo_request", "demo_request\n", "signals.pricing_visits.of", "special case itself", ""),
        ("    of: page.viewed\n", "", "pricing_visits:", "signals.pricing_visits", "of which signal", "of: page.viewed"),
        ("{points: 0}", "{points: 3}", "3}", "signals.email.opened.points", "1 point at most", "machines"),
        ("name: midmarket ", "name: enterprise ", "enterprise                   # marketing", "segments.1.name", "two segments", ""),
        ("    shop_url: https://shop.aurora.example/start\n    shop_when", "    shop_when", "signals.pricing_visits > 0 ", "segments.2.shop_when", "no shop_url", ""),
        ("handover_to: owner", "handover_to: self_serve", "self_serve", "segments.0.handover_to", "needs a shop", "shop_url"),
        ("roles: [decision_maker]", "roles: [decision_makr]", "decision_makr]", "icp.roles.0", "no persona has the role", "decision_maker"),
        ("influencer: 22", "influenzer: 22", "influenzer: 22", "fit.person.roles.influenzer", "no persona has the role", "influencer"),
        ("{A: 88, B: 70, C: 45}", "{A: 88, B: 90, C: 45}", "grades:", "fit.grades", "A must need more than B", ""),
        ("employees: {from: 2}", "employees: {from: 20, to: 3}", "employees: {from: 20", "icp.employees", "smaller than", ""),
        ("  - segment: enterprise\n    subject", "  - segment: enterprice\n    subject", "enterprice\n", "templates.0.segment", "no segment", "enterprise"),
        ("    language: fi\n", "    persona: user2\n", "user2\n", "templates.1.persona", "no persona", "user"),
        ("subject: Start today", "subject: Start {{ lead.fist_name }}", "lead.fist_name", "templates.4.subject", "unknown name {{ lead.fist_name }}", "lead.first_name"),
        ("subject: Start today", "subject: Start {{ zzzz | upper }}", "zzzz", "templates.4.subject", "unknown name {{ zzzz }}", "one of account.domain"),
        ("segments: [enterprise, midmarket]", "segments: [enterprise, midmarkt]", "midmarkt]", "cadences.0.segments.1", "no segment", "midmarket"),
        ("{day: 2, do: mail}", "{day: 0, do: mail}", "0, do: mail}", "cadences.0.steps.1.day", "not after the step before", "in order"),
        ("{day: 2, do: mail}", "{day: 0, do: mail, after_hours: 2}", "0, do: mail, after", "cadences.0.steps.1.day", "not after the step before", ""),
        ("{day: 2, do: mail}", "{day: 2, do: letter}", "letter}", "cadences.0.steps.1.do", "one of 'call', 'mail', 'message' or 'task'", ""),
        ("{day: 2, do: mail}", "{day: 2, do: task}", "task}", "cadences.0.steps.1.do", "a task needs words", "under `say`"),
        ("{day: 2, do: mail}", "{day: 2, do: mail, say: 'Hi {{ lead.nam }}'}", "lead.nam }}", "cadences.0.steps.1.say", "unknown name {{ lead.nam }}", "lead.name"),
        ("{day: 2, do: mail}", "{day: 2, do: mail, on: tue}", "on: tue", "cadences.0.steps.1.on", "not a setting here", ""),
        ("{day: 0, do: call, after_hours: 2}", "{day: 0, do: call, after_hours: 30}", "30}", "cadences.0.steps.0.after_hours", "less than or equal to 24", ""),
        ("first-two-weeks\n    segments: [enterprise, midmarket]\n", "a\n    start: won\n", "won\n", "cadences.0.start", "one of 'accepted' or 'offered'", ""),
        ("cadences:\n", "cadences:\n  - {name: first-two-weeks, segments: [volume], steps: [{day: 0, do: call}]}\n", "first-two-weeks\n    segments", "cadences.1.name", 'two cadences are called "first-two-weeks"', ""),
        ("named_accounts: [page.viewed,", "named_accounts: [page.viewd,", "page.viewd,", "alerts.named_accounts.0", "no signal", "page.viewed"),
        ("others:         [pricing_visits,", "others:         [email.opened,", "email.opened,", "alerts.others.0", "an open never raises", ""),
        ("remind_minutes: 15,", "remind_minutes: 50,", "sla: {remind", "sla", "before escalate", ""),
        ("  midmarket:  {handovers", "  midmarkt:  {handovers", "midmarkt:  {", "goals.midmarkt", "no segment", "midmarket"),
        ("Book a Demo: demo.requested", "Book a Demo: demo.request", "demo.request\n", "spellings.Book a Demo", "no signal", "demo.requested"),
        ("Book a Demo: demo.requested", "Book a Demo: demo_request", "demo_request\n", "spellings.Book a Demo", "special case of demo.requested", "write demo.requested"),
        ("Book a Demo: demo.requested", "guide_requested: demo.requested\n  '!': email.clicked", "Guide Requested:", "spellings.Guide Requested", "the same to us", ""),
        # conditions
        ("engagement.score >= 40\n", "engagement.scor >= 40\n", "engagement.scor >=", "stages.qualified", "unknown name", "engagement.score"),
        ("account.employees >= 50\n", "account.employees >= '50'\n", ">= '50'", "segments.1.when", "do not go together", ""),
        ("shop_when: signals.pricing_visits > 0", "shop_when: signals.pricing_visits", "signals.pricing_visits  ", "segments.2.shop_when", "a number", ""),
        ("identified: lead.known", "identified: stage.qualified", "stage.qualified &&", "stages.identified", "unknown name `stage.qualified`", ""),
        ('|| (signals.demo_request > 0', "|| (signals.demo > 0", "signals.demo > 0", "stages.ready_to_buy", "unknown name `signals.demo`", "signals.demo"),
    ],
)  # fmt: skip
def test_every_problem_has_its_place(
    example_text: str, *, old: str, new: str, found: str, path: str, message: str, hint: str
) -> None:
    assert old in example_text
    text = example_text.replace(old, new, 1)
    every = problems(text)
    problem = next((p for p in every if p.path == path), None)
    assert problem is not None, [str(p) for p in every]
    assert message in problem.message
    assert hint in problem.hint
    at = text.find(found, text.index(new) if new else 0)
    at = text.index(found) if at < 0 else at
    before = text[:at]
    assert (problem.line, problem.column) == (before.count("\n") + 1, at - before.rfind("\n"))


def test_a_goal_of_a_stage_without_condition(example_text: str) -> None:
    document = read_document(example_text).data
    del document["stages"]["ready_to_buy"]
    (problem,) = problems(json.dumps(document))
    assert (problem.path, problem.message) == ("segments.2.handover_at", "the stage ready_to_buy has no condition")


def test_fit_must_give_points_to_something(example_text: str) -> None:
    document = read_document(example_text).data
    document["fit"]["company"] = {"industry": 0, "country": 0, "size": [{"from": 1, "points": 0}]}
    document["fit"]["person"] = {"roles": {"user": 0}}
    (problem,) = problems(json.dumps(document))
    assert "every lead would be D" in problem.message


def test_a_spelling_needs_letters(example_text: str) -> None:
    (problem,) = problems(example_text.replace("Book a Demo: demo.requested", "'!': demo.requested"))
    assert "needs letters" in problem.message


def test_all_problems_are_told_at_once(example_text: str) -> None:
    text = example_text.replace("account.named ||", "account.namd ||").replace("lead.known &&", "lead.know &&")
    found = problems(text)
    assert [p.path for p in found] == ["segments.0.when", "stages.identified"]
    with pytest.raises(PolicyError, match="did you mean"):
        compile_policy(text)


@pytest.mark.parametrize("text", ["[]", "12", "a", "segments: 1", "null: 1", "segments: [1]", "signals: {a: 1}"])
def test_any_document_gives_problems_not_crashes(text: str) -> None:
    assert problems(text)


def test_a_company_may_begin_with_one_segment_and_one_stage(example_text: str) -> None:
    document = read_document(example_text).data
    document["segments"] = document["segments"][:1]
    document["stages"] = {"identified": document["stages"]["identified"]}
    for part in ("templates", "cadences", "goals"):
        del document[part]
    policy = compile_policy(json.dumps(document))
    assert list(policy.stages) == ["identified"]
    assert policy.engagement_limits == ()


def test_norway_is_a_country(example_text: str, policy: Policy) -> None:
    assert "NO" in policy.icp.countries


def test_numbers_of_signals(example_text: str) -> None:
    parsed = read_policy(example_text)[1]
    assert sorted(uncoded(parsed)) == ["calculator_used", "demo_request", "pricing_visits"]
    codes = compile_policy(example_text).signals
    assert [codes[n].code for n in ("calculator_used", "demo_request", "pricing_visits")] == [64, 65, 66]
    stored = compile_policy(example_text, codes={"pricing_visits": 64, "old": 65}).signals
    assert [stored[n].code for n in ("calculator_used", "demo_request", "pricing_visits")] == [66, 67, 64]
    for name, code in SIGNALS.items():
        assert codes[name].code == code
    assert compile_policy(example_text).by_code[66].name == "pricing_visits"


def test_numbers_can_run_out(example_text: str) -> None:
    document = read_document(example_text).data
    codes = {f"s{i}": 64 + i for i in range(190)}
    with pytest.raises(PolicyError, match="all 191 numbers"):
        compile_policy(json.dumps(document), codes=codes)


def test_windows(policy: Policy) -> None:
    assert dict(policy.windows) == {"demo_request": 90, "pricing_visits": 90, "pricing_visits_7d": 7}
    assert dict(policy.window_days) == {"demo_request": 90, "pricing_visits": 90}
    assert policy.engagement_limits == (40.0,)


def test_defaults_are_those_of_the_docs(example_text: str) -> None:
    document = read_document(example_text).data
    for part in ("engagement", "alerts", "sla", "cooldown", "templates", "cadences", "goals", "spellings", "about"):
        del document[part]
    del document["icp"]["employees"]
    document["segments"][2]["when"] = False
    policy = compile_policy(json.dumps(document))
    assert (policy.hysteresis, policy.step) == (0.8, 5.0)
    assert (policy.sla.remind_minutes, policy.sla.escalate_minutes, policy.sla.reassign_minutes) == (15, 45, 60)
    assert policy.cooldown_days("bad_fit") == 30.0
    assert policy.template_for("x") is None
    assert policy.goal("enterprise") is None
    assert (policy.icp.employees_from, policy.icp.employees_to) == (0, None)


def test_the_published_schema_accepts_the_example(example_text: str) -> None:
    schema = policy_schema()
    assert schema["title"] == "Lead Router policy"
    assert set(read_document(example_text).data) <= set(schema["properties"])
    size: Any = schema["$defs"]["SizeBand"]["properties"]
    assert set(size) == {"from", "points"}


def test_the_schema_file_is_the_models() -> None:
    """When it drifts: write `json.dumps(policy_schema(), indent=2)` and a newline to the file."""
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == policy_schema()
