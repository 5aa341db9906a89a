"""Ready messages: which one is picked, what its text may say, what comes out."""

from pathlib import Path

import pytest

from services.policy.core.compile import compile_policy
from services.policy.core.languages import code_of
from services.policy.core.problems import PolicyError
from services.policy.core.sentences import DEEPEST, MOST_CHARS
from services.policy.core.template import Template, pick_template, wrong_in

EXAMPLE = Path("examples/policy.yaml").read_text()
POLICY = compile_policy(EXAMPLE)
VALUES = {
    "lead.first_name": "Anni",
    "lead.name": "Anni Virta",
    "lead.title": None,
    "account.name": None,
    "rep.name": "Anna Aalto",
    "segment": "enterprise",
    "why": "viewed /pricing",
}


def said(body: str, **values: str) -> str:
    return Template(None, None, None, None, "x", body).fill({**VALUES, **values}).body


def test_names_are_filled_left_to_their_default_or_to_nothing() -> None:
    assert said('{{ lead.first_name }}, {{ account.name | default("you") }}{{ lead.title }}!') == "Anni, you!"


def test_conditions_and_filters() -> None:
    text = "{% if account.name %}at {{ account.name | upper }}{% elif lead.title %}T{% else %}who?{% endif %}"
    assert said(text) == "who?"
    assert said(text, **{"account.name": "Oy"}) == "at OY"
    assert said("{{ 'now' if segment == 'enterprise' else 'later' }} {{ why | truncate(9) }}") == "now viewed..."
    assert said('{{ account.name | default("x") | upper }}') == "X"


def test_what_only_looks_like_jinja_stays_text() -> None:
    """Policies of before: a lone brace was a brace."""
    assert said("{% 20 off, {# 3 and {{ lead.first_name }}") == "{% 20 off, {# 3 and Anni"
    assert wrong_in("{% 20 off {# {{ lead.first_name }}") == []


def test_values_are_never_read_as_templates() -> None:
    evil = "{{ rep.name }}{% if why %}{{ ''.__class__ }}"
    assert said("{{ lead.first_name }}{% if why %}.{% endif %}", **{"lead.first_name": evil}) == evil + "."
    assert said("{{ lead.first_name }}", **{"lead.first_name": evil}) == evil


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a\n  {{ lead.frist_name }}", 2, 6, "unknown name {{ lead.frist_name }}"),
        ("{% if why %}\n{{ lead.frist_name }}{% endif %}", 2, 4, "unknown name {{ lead.frist_name }}"),
        ("{% if why %}{% for x in why %}{% endfor %}{% endif %}", 1, 1, "a loop is not for templates"),
        ("{{ why | map('x') }}", 1, 10, "there is no filter map here"),
        ("{% if why %}{{ why is divisibleby 3 }}{% endif %}", 1, 23, "there is no test divisibleby here"),
        ("{{ why[0] }}", 1, 4, "unknown name {{ why[0] }}"),
        ("{{ why.__class__ }}{{ why | upper }}", 1, 4, "unknown name {{ why.__class__ }}"),
        ("{% if why %}{{ ().__class__ }}{% endif %}", 1, 1, "an attribute is not for templates"),
        ("{% if why %}{{ why * 99999 }}{% endif %}", 1, 1, "mul is not for templates"),
        ("{% if why %}{{ range(9) }}{% endif %}", 1, 1, "a call is not for templates"),
        ("{% if why %}{{ why[0] }}{% endif %}", 1, 1, "an item is not for templates"),
        ("{% if why %}{% set x = 1 %}{% endif %}", 1, 1, "assign is not for templates"),
        ("{% if why %}{% include 'x' %}{% endif %}", 1, 1, "include is not for templates"),
        ("ok\n{% if why %}", 2, 1, "not a template"),
        ("{{ why | truncate(*segment) }}", 1, 19, "write the filter's values out"),
        ("{{ why | truncate(**segment) }}", 1, 19, "write the filter's values out"),
        ("{% if lead.frist_name is defined %}x{% endif %}", 1, 7, "unknown name {{ lead.frist_name }}"),
        ("{% if " + "(" * 2000 + "why" + ")" * 2000 + " %}x{% endif %}", 1, 1, "nested too deep"),
    ],
)
def test_what_a_template_may_not_say_has_its_place(text: str, line: int, column: int, message: str) -> None:
    fault = wrong_in(text)[0]
    assert (fault.line, fault.column) == (line, column)
    assert message in fault.message


def test_whether_there_is_a_value_can_be_asked() -> None:
    text = "{% if lead.title is defined %}{{ lead.title }}{% else %}no title{% endif %}"
    assert wrong_in(text) == []
    assert said(text) == "no title"
    assert said(text, **{"lead.title": "CFO"}) == "CFO"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{% if why %}", "x{% endif %}"),
        ("{% if why %}{% else %}", "x{% endif %}"),
        ("not ", ""),
        ("why and ", ""),
        ("why == ", ""),
        ("why ~ ", ""),
        ("", " | upper"),
        ("(why if ", " else why)"),
        ("[", "]"),
    ],
)
def test_what_is_accepted_can_be_filled_however_deep(before: str, after: str) -> None:
    """Python refuses deep blocks and brackets only when it compiles: that would be in the middle of a handover."""
    refused = 0
    for times in (1, 10, *range(DEEPEST - 10, DEEPEST + 10), 120, 250, 600):
        if before.startswith("{%"):
            text = before * times + after * times
        else:
            text = "{% if " + before * times + "why" + after * times + " %}x{% endif %}"
        faults = wrong_in(text)
        if faults:
            refused += 1
            assert {fault.message for fault in faults} == {"nested too deep"}
        else:
            said(text)
            assert not refused, "what is deeper is refused too"
    # What stands side by side in the tree is not deep.
    assert bool(refused) is (before not in ("why == ", "why ~ "))


def test_a_fault_points_into_the_policy_file() -> None:
    text = EXAMPLE.replace("I look after {{ account.name", "{% if why %}look{% endif %} {{ acount.name")
    with pytest.raises(PolicyError) as raised:
        compile_policy(text)
    (problem,) = raised.value.problems
    before = text[: text.index("acount.name")]
    assert (problem.line, problem.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert problem.path == "templates.0.body"
    assert "account.name" in problem.hint


def test_the_text_is_bounded() -> None:
    assert len(said("{% if why %}" + "{{ why }}" * 500 + "{% endif %}", why="w" * 1000)) == MOST_CHARS


def test_the_language_is_chosen_first_and_then_the_best_match() -> None:
    every = Template(None, None, None, "en", "e", "e")
    fi = Template(None, None, None, "fi", "f", "f")
    fi_enterprise = Template("enterprise", None, None, "fi", "f", "f")
    staged = Template("enterprise", None, "identified", "en", "s", "s")
    found = [every, staged, fi, fi_enterprise]
    assert pick_template(found, "enterprise", None, "identified", ["fi", "en"]) is fi_enterprise
    assert pick_template(found, "enterprise", None, "identified", ["sv", "en"]) is staged
    assert pick_template(found, "volume", None, None, ["fi", "en"]) is fi
    assert pick_template(found, "volume", None, None, ["sv"]) is None


def test_a_policy_may_be_in_any_language() -> None:
    policy = compile_policy(EXAMPLE.replace("\nlanguage: en\n", "\nlanguage: fi\n"))
    # What names no language is Finnish now: the first of its kind.
    assert {one.language for one in policy.templates} == {"fi", "sv"}
    assert policy.template_for("volume", None, None, None, ("fi", "sv")) is policy.template_for("volume")
    swedish = policy.template_for("volume", None, None, None, ("sv", "fi"))
    assert swedish is not None
    assert swedish.language == "sv"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("fi", "fi"), ("fi-FI", "fi"), ("SV_se", "sv"), (" Swedish ", "sv"), ("suomi", "fi"), ("zh-Hant-TW", "zh"),
        ("xx", None), ("fin", None), ("", None), (None, None), ("a language with a very long name", None),
    ],
)  # fmt: skip
def test_languages_however_they_are_written(written: str | None, code: str | None) -> None:
    assert code_of(written) == code


@pytest.mark.parametrize("segment", ["enterprise", "midmarket", "volume", None])
@pytest.mark.parametrize("stage", ["qualified", "ready_to_buy"])
@pytest.mark.parametrize("language", ["en", "fi", "sv"])
def test_the_example_speaks_three_languages(segment: str | None, stage: str, language: str) -> None:
    """English is what stands without a language."""
    found = POLICY.template_for(segment, "decision_maker", stage, language)
    assert found is not None
    assert found.language == language
