"""The doors of `Policy`."""

import json

import pytest

from services.policy.core.cadence import FIRST_DAY_HOURS, Cadence, cadence_for, hours_of
from services.policy.core.compile import Policy, compile_policy
from services.policy.core.document import read_document
from services.policy.core.policy import OTHER


def names(
    policy: Policy, signal: str, path: str | None = None, name: str | None = None, url: str | None = None
) -> list[str]:
    return [rule.name for rule in policy.counted(signal, path, name, url)]


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/pricing", True),
        ("/fi/Pricing/", True),
        ("/pricing/enterprise?x=1", True),
        ("pricing", True),
        ("/pricing-news", False),
        ("/blog?from=/pricing", False),
        ("/", False),
        (None, False),
    ],
)
def test_a_pricing_page_has_a_segment_pricing(policy: Policy, path: str | None, counts: bool) -> None:
    assert names(policy, "page.viewed", path) == ["page.viewed", "pricing_visits"][: 1 + counts]


def test_what_an_event_counts_for(policy: Policy) -> None:
    assert names(policy, "demo.requested") == ["demo.requested", "demo_request"]
    assert names(policy, "email.delivered") == ["email.delivered"]
    assert names(policy, "calculator_used") == ["calculator_used"]
    assert names(policy, "roi_calculator_used") == ["calculator_used"]
    assert names(policy, "custom", name="ROI Calculator Used") == ["calculator_used"]
    assert policy.counted("never heard of") == (OTHER,)
    assert policy.counted("never heard of", name="nor this") == (OTHER,)


def test_special_cases_of_own_signals_by_url_and_name(example_text: str) -> None:
    document = read_document(example_text).data
    document["signals"]["big_saving"] = {"of": "calculator_used", "url_contains": "Saving=Big", "points": 3}
    document["signals"]["guide_read"] = {"of": "page.viewed", "name": "Read the Guide", "points": 3}
    policy = compile_policy(json.dumps(document))
    assert names(policy, "calculator_used", url="https://x.example/?saving=big") == ["calculator_used", "big_saving"]
    assert names(policy, "calculator_used", path="/?saving=big") == ["calculator_used", "big_saving"]
    assert names(policy, "ROI Calculator Used") == ["calculator_used"]
    assert names(policy, "page.viewed", name="read_the_guide") == ["page.viewed", "guide_read"]
    assert names(policy, "page.viewed", name="other") == ["page.viewed"]
    assert names(policy, "page.viewed") == ["page.viewed"]


def test_alerts(policy: Policy) -> None:
    def kind(signal: str, path: str | None, *, named: bool) -> str | None:
        return policy.alerts.kind(policy.counted(signal, path), named=named)

    assert kind("page.viewed", "/blog", named=True) == "visiting_now"
    assert kind("page.viewed", "/blog", named=False) is None
    assert kind("page.viewed", "/pricing", named=False) == "visiting_now"
    assert kind("email.clicked", None, named=True) == "clicked"
    assert kind("email.clicked", None, named=False) is None
    assert kind("email.replied", None, named=False) == "clicked"
    assert kind("email.opened", None, named=True) is None
    assert (policy.alerts.fresh_s, policy.alerts.collapse_s) == (120.0, 1800.0)


def test_roles(policy: Policy) -> None:
    assert policy.role_of("marketing", "head") == "decision_maker"
    assert policy.role_of("marketing", "manager") == "influencer"
    assert policy.role_of("marketing", None) == "user"
    assert policy.role_of(None, "student") == "student"
    assert policy.role_of("student", None) == "student"
    assert policy.role_of("education", "staff") is None
    assert policy.role_of(None, None) is None


def test_stages_have_hysteresis(policy: Policy) -> None:
    facts = {"fit.grade": "A", "persona.role": "decision_maker", "icp.roles": ("decision_maker",)}
    assert policy.holds("qualified", {**facts, "engagement.score": 40.0})
    assert not policy.holds("qualified", {**facts, "engagement.score": 39.0})
    assert policy.holds("qualified", {**facts, "engagement.score": 32.0}, held=True)
    assert not policy.holds("qualified", {**facts, "engagement.score": 31.9}, held=True)
    assert not policy.holds("qualified", facts, held=True)
    assert not policy.holds("customer", facts)


def test_the_shop(policy: Policy) -> None:
    volume, enterprise = policy.segments[2], policy.segments[0]
    assert volume.shop({"signals.pricing_visits": 1.0}) == "https://shop.aurora.example/start"
    assert volume.shop({"signals.pricing_visits": 0.0}) is None
    assert enterprise.shop({}) is None


def test_small_doors(policy: Policy) -> None:
    assert [policy.cooldown_days(r) for r in ("bad_fit", "not_now", "bot", "whatever", None)] == [90, 30, 14, 30, 30]
    assert policy.signal_for("book_a_demo") == "demo.requested"
    assert policy.signal_for("nothing") is None
    goal = policy.goal("enterprise")
    assert goal is not None
    assert goal.win_rate == 0.3
    assert policy.goal("unheard") == policy.goal(None) == policy.goals["all"]
    assert policy.numbered(9).version == 9
    assert policy.version == 3


def test_ready_messages(policy: Policy) -> None:
    def subject(*wanted: str | None) -> str:
        template = policy.template_for(*wanted)
        assert template is not None
        return template.fill({"lead.first_name": "Aino", "account.name": None}).subject

    assert subject("enterprise", None, "identified", "en") == "Your visit to Aurora, Aino"
    assert subject("enterprise", None, "identified", "fi") == "Aurora ja te"
    assert subject("midmarket", "decision_maker", "qualified", None) == "Shall we compare notes, Aino?"
    assert subject("midmarket", None, "identified", None) == "A question about Aurora"
    assert subject() == "A question about Aurora"
    filled = policy.template_for("volume")
    assert filled is not None
    assert "Hello there," in filled.fill({}).body
    assert filled.fill({}).body.endswith("\n\n")
    assert "https://shop.aurora.example/start" in filled.fill({"shop_url": ""}).body


def test_segments_by_name_and_the_scores_at_which_something_turns(policy: Policy) -> None:
    assert {segment.name for segment in policy.segments} == {
        found.name for segment in policy.segments if (found := policy.segment(segment.name)) is not None
    }
    assert policy.segment("nobody") is None
    assert policy.segment(None) is None
    turns, limits = policy.engagement_turns, policy.engagement_limits
    assert limits
    assert turns == tuple(sorted(turns))
    assert {*limits} - {0.0} <= {*turns}
    assert {limit * policy.hysteresis for limit in limits} - {0.0} <= {*turns}


def test_the_first_cadence_that_is_for_the_segment(policy: Policy) -> None:
    [example] = policy.cadences
    assert [(step.day, step.do, step.hours) for step in example.steps] == [
        (0, "call", 2.0),
        (2, "mail", 0.0),
        (5, "call", 0.0),
        (9, "mail", 0.0),
    ]
    everybody = Cadence("all", frozenset(), "offered", example.steps[:1])
    found = [cadence_for((example, everybody), name) for name in ("enterprise", "midmarket", "volume", None)]
    assert found == [example, example, everybody, None]
    assert cadence_for((example,), "volume") is None
    assert [hours_of(0, None), hours_of(3, None), hours_of(0, 0.0), hours_of(3, 2.5)] == [
        FIRST_DAY_HOURS,
        0.0,
        0.0,
        2.5,
    ]
