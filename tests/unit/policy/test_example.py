"""The example policy gives the behaviour of the stories, points and all."""

from datetime import UTC, datetime, timedelta

import pytest

from services.policy.core.compile import Policy
from services.policy.core.lint import Known, lint_policy
from services.policy.core.score import curve, day_of, engagement, ms_of

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
Act = tuple[str, str | None, int, float]  # signal, path, days ago, P(human)

WEBINAR: Act = ("webinar.attended", None, 0, 1.0)
CLICK: Act = ("email.clicked", None, 0, 0.7)
PRICING: Act = ("page.viewed", "/pricing", 0, 1.0)
PRICING_YESTERDAY: Act = ("page.viewed", "/pricing", 1, 1.0)
IDENTIFY: Act = ("person.identified", None, 0, 1.0)
OPEN: Act = ("email.opened", None, 0, 1.0)


def score(policy: Policy, *acts: Act) -> float:
    counts = [
        (rule, day_of(NOW) - ago, round(human * 1000))
        for signal, path, ago, human in acts
        for rule in policy.counted(signal, path)
    ]
    return engagement(curve(counts, ms_of(NOW)), NOW, NOW).score


def test_the_agreement_is_met_with_margin_and_not_before(policy: Policy) -> None:
    assert score(policy, IDENTIFY) == 0.0
    assert score(policy, PRICING, PRICING_YESTERDAY) < 25
    assert score(policy, WEBINAR, ("email.clicked", None, 0, 1.0), PRICING) < 39
    assert score(policy, IDENTIFY, WEBINAR, CLICK, PRICING, PRICING_YESTERDAY) > 45


def test_opens_and_scanned_links_are_nothing(policy: Policy) -> None:
    assert score(policy, *[OPEN] * 50) == 0.0
    assert score(policy, *[("email.clicked", None, 0, 0.05)] * 9) < 5


def test_two_pricing_visits_make_no_one_ready_to_buy(policy: Policy) -> None:
    facts = {
        "fit.grade": "A", "persona.role": "decision_maker", "icp.roles": policy.icp.roles, "engagement.score": 47.0,
        "lead.known": True, "signals.demo_request": 0.0, "signals.pricing_visits_7d": 2.0, "stage.qualified": True,
    }  # fmt: skip
    assert policy.holds("qualified", facts)
    assert not policy.holds("ready_to_buy", facts)
    assert [r.text for r in policy.missing("ready_to_buy", facts)] == [
        "2 pricing visits in the last 7 days, 1 more is needed"
    ]
    assert policy.holds("ready_to_buy", {**facts, "signals.pricing_visits_7d": 3.0})
    demo = {**facts, "stage.qualified": False, "signals.demo_request": 1.0}
    assert policy.holds("ready_to_buy", demo)
    assert not policy.holds("ready_to_buy", {**demo, "fit.grade": "D"})


def test_the_wrong_person_is_told_so(policy: Policy) -> None:
    facts = {"lead.known": True, "fit.grade": "D", "engagement.score": 99.0, "icp.roles": policy.icp.roles}
    for stage in policy.stages:
        assert "fit_below" in [r.code for r in policy.missing(stage, {**facts, "signals.demo_request": 5.0})]


@pytest.mark.parametrize(
    ("named", "employees", "segment"),
    [
        (True, 90, "enterprise"),
        (False, 1500, "enterprise"),
        (False, 60, "midmarket"),
        (False, 6, "volume"),
        (None, None, "volume"),
    ],
)
def test_segments(policy: Policy, named: bool | None, employees: int | None, segment: str) -> None:
    facts = {"account.named": named, "account.employees": employees}
    assert next(s.name for s in policy.segments if s.when(facts)) == segment


def test_the_example_has_no_warnings(example_text: str) -> None:
    known = Known(
        pools=frozenset({"sdr-midmarket", "closers"}),
        industries=frozenset({"manufacturing", "logistics", "software", "retail", "education"}),
    )
    assert lint_policy(example_text, known) == []


def test_score_fades_out_of_the_agreement(policy: Policy) -> None:
    counts = [(r, day_of(NOW), 1000) for s, p, _, _ in (WEBINAR, PRICING, PRICING) for r in policy.counted(s, p)]
    parts = curve([*counts, *((r, day_of(NOW), 1000) for r in policy.counted("email.clicked"))], ms_of(NOW))
    assert engagement(parts, NOW, NOW + timedelta(days=30)).score < 32
