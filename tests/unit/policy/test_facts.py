"""The flat facts of a lead."""

from datetime import UTC, datetime, timedelta

from schemas.messages import AccountRef, CurvePart, Fit, LeadScored, PersonRef
from services.policy.core.compile import Policy
from services.policy.core.facts import FACTS, facts_of
from services.policy.core.score import day_of

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def scored(**more: object) -> LeadScored:
    return LeadScored(kind="changed", lead_id="l", version=1, as_of=NOW, policy_version=3, **more)  # type: ignore[arg-type]


def test_a_known_lead(policy: Policy) -> None:
    today = day_of(NOW)
    lead = scored(
        known=True,
        person=PersonRef(
            email="a@b.example", title="Head of Marketing", function="marketing", level="head", language="fi"
        ),
        account=AccountRef(
            domain="b.example", name="B Oy", named=True, industry="software", employees=120, owner="anna"
        ),
        fit=Fit(grade="A", score=95.0),
        curve=[CurvePart(signal="page.viewed", points=40.0, half_life_s=86400.0)],
        windows={"pricing_visits": [(today - 30, 2000), (today - 6, 1000), (today, 1000)]},
    )
    facts = facts_of(lead, NOW + timedelta(days=1), policy)
    assert facts["lead.known"] is True
    assert facts["account.named"] is True
    assert facts["account.employees"] == 120
    assert facts["account.country"] is None
    assert facts["persona.role"] == "decision_maker"
    assert facts["engagement.score"] == 20.0
    assert facts["signals.pricing_visits"] == 4.0
    assert facts["signals.pricing_visits_7d"] == 1.0
    assert facts["signals.demo_request"] == 0.0
    assert facts["icp.roles"] == ("decision_maker",)
    assert set(FACTS) <= set(facts)


def test_a_visitor_that_nobody_knows(policy: Policy) -> None:
    facts = facts_of(scored(person=PersonRef(role="user")), NOW, policy)
    assert facts["account.known"] is False
    assert facts["account.named"] is False
    assert facts["account.employees"] is None
    assert facts["fit.grade"] is None
    assert facts["persona.role"] == "user"
    assert facts["engagement.score"] == 0.0
    assert not any(policy.holds(stage, facts) for stage in policy.stages)
    assert next(s.name for s in policy.segments if s.when(facts)) == "volume"


def test_facts_have_the_types_that_conditions_were_checked_for(policy: Policy) -> None:
    kinds = {"bool": bool, "int": int, "number": float, "string": str, "strings": tuple}
    lead = scored(
        account=AccountRef(domain="b", name="B", industry="x", employees=1, country="FI", owner="o"),
        fit=Fit(grade="B", score=1.0),
    )
    facts = facts_of(lead, NOW, policy)
    for path, kind in FACTS.items():
        assert facts[path] is None or isinstance(facts[path], kinds[kind]), path
