"""What should happen to a lead: stages, segments, routes, and when it is looked at again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.messages import CurvePart, LeadScored
from services.policy.core.compile import compile_policy
from services.policy.core.policy import Policy
from services.router.core import alert
from services.router.core.decide import again, changed, complete, crossing, decide, grounds
from services.router.core.model import Before, DecisionRecord, Held, Member, Pick, Roster, Verdict, rung
from services.router.core.segment import segment_of
from services.router.core.stage import climb
from tests.support.routing import EXAMPLES, NOW, Person, cause, example_policy

POLICY = example_policy()
TEXT = (EXAMPLES / "policy.yaml").read_text()
HELD = Held(id="a1", rep="chloe", gen=1, state="offered", pool="sdr-midmarket", offered_at=NOW)


def mql(score: float = 60, **more: Any) -> LeadScored:
    return Person("maria@fjordsoft.example").says(score, **more)


def codes(verdict: Verdict) -> set[str]:
    return {reason.code for reason in verdict.reasons}


def policy_with(old: str, new: str) -> Policy:
    assert old in TEXT
    return compile_policy(TEXT.replace(old, new), 2)


# -- stages


def test_a_stage_is_entered_at_theta_and_left_below_four_fifths_of_it() -> None:
    assert decide(mql(39.9), Before(), POLICY, NOW).stage == "identified"
    assert decide(mql(40.1), Before(), POLICY, NOW).stage == "qualified"
    assert decide(mql(32.1), Before(stage="qualified"), POLICY, NOW).stage == "qualified"
    assert decide(mql(31.9), Before(stage="qualified"), POLICY, NOW).stage == "identified"


@given(st.lists(st.floats(32.01, 39.99), min_size=1, max_size=20), st.sampled_from(["identified", "qualified"]))
def test_inside_the_band_nothing_flaps(scores: list[float], start: Any) -> None:
    stage = start
    for score in scores:
        stage = decide(mql(score), Before(stage=stage), POLICY, NOW).stage
        assert stage == start


@given(st.floats(0, 120), st.floats(0, 120), st.sampled_from(["unknown", "identified", "qualified"]))
def test_more_engagement_never_lowers_the_stage(one: float, other: float, before: Any) -> None:
    low, high = sorted((one, other))
    assert rung(decide(mql(low), Before(stage=before), POLICY, NOW).stage) <= rung(
        decide(mql(high), Before(stage=before), POLICY, NOW).stage
    )


@given(
    st.floats(0, 120), st.sampled_from(["unknown", "identified", "qualified", "ready_to_buy"]), st.sampled_from("ABCD")
)
def test_deciding_twice_settles(score: float, before: Any, grade: str) -> None:
    """A decision fed back as the past changes nothing."""
    snapshot = Person("maria@fjordsoft.example", grade=grade).says(score)
    first = decide(snapshot, Before(stage=before), POLICY, NOW)
    second = decide(
        snapshot,
        Before(stage=first.stage, segment=first.segment, route=first.route, track=first.track, decided=True),
        POLICY,
        NOW,
    )
    assert second.stage == first.stage


def test_outcomes_end_the_climb() -> None:
    assert climb({}, "unknown", "won", POLICY) == "customer"
    assert climb({}, "qualified", "disqualified", POLICY) == "disqualified"
    assert [rung(s) for s in ("disqualified", "unknown", "ready_to_buy", "customer")] == [-1, 0, 3, 4]
    won = decide(mql(), Before(outcome="won"), POLICY, NOW)
    assert (won.stage, won.route, won.track) == ("customer", "nurture", "newsletter")
    assert "customer" in codes(won)
    assert "disqualified" in codes(decide(mql(), Before(outcome="disqualified"), POLICY, NOW))


# -- segments and routes


def test_a_policy_may_leave_a_lead_without_a_segment() -> None:
    policy = policy_with("when: true ", "when: account.named ")
    person = Person("a@gmail.com")
    verdict = decide(person.says(60), Before(), policy, NOW)
    assert (verdict.segment, verdict.track, verdict.route) == (None, "nurture", "nurture")
    assert "no_segment" in codes(verdict)
    assert segment_of({}, policy) is None


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_a_segment_that_is_not_live_keeps_its_leads_in_nurture_and_says_so(mode: str) -> None:
    policy = policy_with("    track: newsletter", f"    track: newsletter\n    mode: {mode}")
    verdict = decide(mql(), Before(), policy, NOW)
    assert (verdict.stage, verdict.route, verdict.handover) == ("qualified", "nurture", False)
    assert f"segment_{mode}" in codes(verdict)
    segment = next(s for s in policy.segments if s.name == "midmarket")
    visit = cause("v", path="/pricing")
    assert alert.alerts_of([visit], None, segment, policy) == []


def test_other_grounds_are_news_and_other_numbers_are_not() -> None:
    def after(last: Verdict, snapshot: LeadScored) -> bool:
        before = Before(stage=last.stage, segment=last.segment, route=last.route, track=last.track, decided=True)
        before = msgspec.structs.replace(before, grounds=grounds(last))
        return changed(before, decide(snapshot, before, POLICY, NOW))

    untitled = Person("jan@fjordsoft.example", grade="C", role=None)
    first = decide(untitled.says(5), Before(), POLICY, NOW)
    assert grounds(first) == ["engagement_below", "fit_below"]
    assert not after(first, untitled.says(15))
    titled = Person("jan@fjordsoft.example")
    assert after(first, titled.says(5))

    founder = Person("f@pikkupaja.example", grade="B")
    known = decide(founder.says(1), Before(), POLICY, NOW)
    looked = founder.says(12, windows={"pricing_visits": 1.0})
    assert after(known, looked)
    assert not after(decide(looked, Before(), POLICY, NOW), founder.says(24, windows={"pricing_visits": 2.0}))
    forgetful = Before(stage=known.stage, segment=known.segment, route=known.route, track=known.track, decided=True)
    assert not changed(forgetful, decide(looked, forgetful, POLICY, NOW))


def test_self_serve_hands_nothing_over() -> None:
    policy = policy_with("handover_to: closers", "handover_to: self_serve")
    founder = Person("f@pikkupaja.example").says(60, windows={"demo_request": 1.0})
    verdict = decide(founder, Before(), policy, NOW)
    assert (verdict.route, verdict.track, verdict.stage) == ("nurture", "self_serve", "ready_to_buy")
    assert "self_serve" in codes(verdict)


def test_a_cool_down_holds_the_handover_back_until_its_date() -> None:
    before = Before(cooldown_until=NOW + timedelta(days=3), cooldown_reason="bad_fit")
    verdict = decide(mql(), before, POLICY, NOW)
    assert (verdict.route, verdict.counterfactual[0].code) == ("nurture", "cooldown_ends")
    assert decide(mql(), before, POLICY, NOW + timedelta(days=3)).handover
    bare = decide(mql(), Before(cooldown_until=NOW + timedelta(days=3)), POLICY, NOW)
    assert "no reason given" in bare.reasons[-1].text


def test_a_lead_that_somebody_has_is_not_handed_over_again() -> None:
    verdict = decide(mql(), Before(stage="qualified", route="sdr", assignee="chloe", held=HELD), POLICY, NOW)
    assert (verdict.route, verdict.assignee, verdict.handover, verdict.recall) == ("sdr", "chloe", False, None)
    accepted = msgspec.structs.replace(HELD, state="accepted", via="owner")
    faded = decide(mql(1), Before(stage="qualified", held=accepted), POLICY, NOW)
    assert (faded.stage, faded.assignee, faded.route) == ("identified", "chloe", "owner")
    moved = decide(mql(), Before(held=HELD), POLICY, NOW)
    assert moved.route == "sdr"


@pytest.mark.parametrize(("kind", "code"), [("changed", "cooled_off"), ("reversed", "reversed"), ("split", "reversed")])
def test_an_untouched_offer_is_recalled_when_its_reason_is_gone(kind: str, code: str) -> None:
    verdict = decide(mql(1, kind=kind), Before(stage="qualified", held=HELD), POLICY, NOW)
    assert verdict.recall is not None
    assert (verdict.recall.code, verdict.route, verdict.assignee) == (code, "nurture", None)


def test_without_a_segment_an_offer_is_recalled_too() -> None:
    policy = policy_with("when: true ", "when: account.named ")
    verdict = decide(Person("a@gmail.com").says(60), Before(held=HELD), policy, NOW)
    assert verdict.recall is not None
    assert verdict.recall.limit is None


def test_the_wrong_person_is_told_apart_from_too_little_interest() -> None:
    def decided(**who: Any) -> Verdict:
        return decide(Person("x@fjordsoft.example", **who).says(90), Before(), POLICY, NOW)

    assert "fit_below" in codes(decided(grade="C"))
    role = decided(grade="B", role="influencer", function="it", level="manager")
    assert {"fit_below", "persona_differs"} <= codes(role)
    assert any("role influencer" in r.text for r in role.reasons if r.code == "fit_below")
    assert "fit_below" not in codes(decide(mql(10), Before(), POLICY, NOW))
    assert "fit_below" in codes(decided(grade="D", role=None))
    nobody = decide(Person(None, domain="fjordsoft.example").says(90), Before(), POLICY, NOW)
    assert {"not_known", "below_handover_stage"} <= codes(nobody)
    founder = Person("f@pikkupaja.example").says(10, windows={"pricing_visits": 1.0})
    assert "shop_link" in codes(decide(founder, Before(), POLICY, NOW))
    unknown = Person("x@fjordsoft.example", grade=None).says(90)
    assert "fit_below" in codes(decide(unknown, Before(), POLICY, NOW))


def test_completing_puts_the_rep_in() -> None:
    due = decide(mql(), Before(), POLICY, NOW)
    assert (due.handover, due.to, due.route) == (True, "sdr-midmarket", "sdr")
    pick = Pick(rep="chloe", via="pool", pool="sdr-midmarket", reason=due.reasons[0])
    done = complete(due, pick)
    assert (done.assignee, done.pool, done.track, done.route) == ("chloe", "sdr-midmarket", None, "sdr")
    owned = complete(due, Pick(rep="anna", via="owner", pool="sdr-midmarket", reason=due.reasons[0]))
    assert (owned.route, owned.pool) == ("owner", None)


def test_what_counts_as_news() -> None:
    verdict = decide(mql(), Before(), POLICY, NOW)
    same = Before(
        stage=verdict.stage,
        segment=verdict.segment,
        route=verdict.route,
        track=verdict.track,
        assignee=verdict.assignee,
        decided=True,
    )
    assert not changed(same, verdict)
    assert changed(msgspec.structs.replace(same, decided=False), verdict)
    assert changed(msgspec.structs.replace(same, assignee="x"), verdict)


def test_a_record_decides_again_to_the_same_answer() -> None:
    snapshot, before = mql(), Before()
    verdict = decide(snapshot, before, POLICY, NOW)
    roster = Roster(pool="sdr-midmarket", members=[Member(rep="chloe"), Member(rep="emil")])
    record = DecisionRecord(
        id="d",
        lead_id=snapshot.lead_id,
        n=1,
        now=NOW,
        trigger="scored",
        policy_version=1,
        before=before,
        snapshot=snapshot,
        roster=roster,
        verdict=verdict,
    )
    done, pick = again(record, POLICY)
    assert pick is not None
    assert done.assignee == pick.rep == "chloe"
    copy = msgspec.json.decode(msgspec.json.encode(record), type=DecisionRecord)
    assert again(copy, POLICY) == (done, pick)
    assert again(msgspec.structs.replace(record, roster=None), POLICY)[1] is None


def test_one_half_life_gives_the_very_second() -> None:
    snapshot = mql(44)
    at = crossing(snapshot, "qualified", POLICY, NOW)
    assert at is not None
    first = crossing(snapshot, "qualified", POLICY, at)
    # From 44 it first falls below 40, where the segment or a stage might turn, then below 32.
    assert decide(snapshot, Before(stage="qualified"), POLICY, at).stage == "qualified"
    assert first is not None
    assert decide(snapshot, Before(stage="qualified"), POLICY, first).stage == "identified"
    assert decide(snapshot, Before(stage="qualified"), POLICY, first - timedelta(seconds=2)).stage == "qualified"
    assert crossing(snapshot, "identified", POLICY, first) is None
    assert crossing(snapshot, "customer", POLICY, NOW) is None
    assert crossing(snapshot, "unknown", POLICY, NOW) is None


parts_of = st.lists(
    st.builds(
        CurvePart, signal=st.text("ab", min_size=1, max_size=3), points=st.floats(-30, 90), half_life_s=st.sampled_from([7 * 864e2, 30 * 864e2, 90 * 864e2]), cap=st.sampled_from([0.0, 40.0, 90.0])
    ),
    max_size=4,
)  # fmt: skip


@given(parts_of, st.integers(0, 4), st.integers(0, 12))
def test_looking_again_when_told_never_misses_that_a_stage_is_left(
    parts: list[CurvePart], visits: int, old: int
) -> None:
    """Follow the looks to the end: between two of them the stage does not change, but for an hour before the second."""
    day = (NOW - datetime(1970, 1, 1, tzinfo=UTC)).days - old
    snapshot = msgspec.structs.replace(mql(), curve=parts, windows={"pricing_visits": [(day, visits * 1000)]})
    stage, now = decide(snapshot, Before(), POLICY, NOW).stage, NOW
    for _ in range(300):
        at = crossing(snapshot, stage, POLICY, now)
        until = at or now + timedelta(days=500)
        probe = until - timedelta(hours=1, seconds=1)
        if probe > now:
            assert rung(decide(snapshot, Before(stage=stage), POLICY, probe).stage) >= rung(stage)
        if at is None:
            break
        stage, now = decide(snapshot, Before(stage=stage), POLICY, at).stage, at
    else:
        raise AssertionError("it never comes to an end")
