"""Which deliveries a notice makes, when they are judged again, and what preferences say."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.directory.core.people import Rep
from services.notify.core.budget import HOUR, interrupted, next_interrupt
from services.notify.core.delivery import INBOX, EndpointFacts, Known
from services.notify.core.judge import TOO_OLD, Facts, Hold, Send, Skip, acknowledged, judge
from services.notify.core.notice import Notice, ShownAssignment, ShownLead
from services.notify.core.plan import Desk, channels_of, plan
from services.notify.core.preference import Preferences, Step, layered, problem_of, quiet_until
from tests.unit.notify.messages import NOW

ANNA = Rep(id="anna", timezone="Europe/Helsinki")
CHAT = EndpointFacts(id="chat", feed=False, changes=True)
MAIL = EndpointFacts(id="mail", feed=False, kinds=frozenset(("handover",)))
FEED = EndpointFacts(id="feed", feed=True, changes=True)
BOARD = EndpointFacts(id="board", feed=True)


def made(kind="handover", **more) -> Notice:
    notice = Notice(id="n1", rep="anna", seq=1, kind=kind, lead=ShownLead(id="l1"), created_at=NOW, updated_at=NOW)
    if kind == "handover":
        notice.assignment = ShownAssignment(id="o1", gen=1, state="offered")
    return msgspec.structs.replace(notice, **more)


def desk(*endpoints, **more) -> Desk:
    fields = {"id": "anna", "rep": ANNA, "prefs": Preferences(), "per_hour": 2, "endpoints": endpoints}
    return Desk(**{**fields, **more})


def planned(one: Desk, notice: Notice, known=(), *, delivered=False, now=NOW):
    del one.planned[:]
    plan(one, notice, known, delivered=delivered, now=now)
    return [(d.endpoint, d.purpose, d.state) for d in one.planned]


def test_feeds_and_own_channels_get_a_new_notice():
    assert planned(desk(CHAT, MAIL, FEED, BOARD), made()) == [
        ("feed", "tell", "due"),
        ("board", "tell", "due"),
        ("chat", "tell", "due"),
        ("mail", "tell", "due"),
    ]
    assert planned(desk(CHAT, MAIL), made("opened")) == [("chat", "tell", "due")]


def test_changes_go_where_they_can_be_told():
    known = [Known(endpoint=e, purpose="tell", state="delivered") for e in ("chat", "mail", "feed", "board")]
    ended = made(state="claimed", seq=2)
    assert planned(desk(CHAT, MAIL, FEED, BOARD), ended, known) == [
        ("feed", "change", "due"),
        ("chat", "change", "due"),
    ]
    # What ended before it was planned: a system is told of it, people are not.
    assert planned(desk(CHAT, MAIL, FEED, BOARD), ended) == [("feed", "tell", "due")]


def test_the_same_notice_gives_the_same_ids_and_each_version_its_own():
    one, two = desk(CHAT, FEED), desk(CHAT, FEED)
    planned(one, made())
    planned(two, made())
    assert [d.id for d in one.planned] == [d.id for d in two.planned]
    known = [Known(endpoint="chat", purpose="tell", state="delivered")]
    planned(one, made(seq=2), known)
    planned(two, made(seq=3), known)
    assert {d.id for d in one.planned if d.purpose == "change"}.isdisjoint(d.id for d in two.planned)


def test_filters_of_feeds_and_of_own_channels():
    feed = msgspec.structs.replace(FEED, reps=frozenset(("ben",)))
    segment = msgspec.structs.replace(FEED, id="s", segments=frozenset(("enterprise",)))
    own = msgspec.structs.replace(CHAT, reps=frozenset(("ben",)))
    assert planned(desk(feed, segment, own), made()) == []
    assert planned(desk(feed, segment, own), made(rep="ben", segment="enterprise")) == [
        ("feed", "tell", "due"),
        ("s", "tell", "due"),
        ("chat", "tell", "due"),
    ]


def test_what_the_operator_keeps_from_a_channel_no_preference_sends_there():
    steps = Preferences(channels={"handover": ["chat"]}, ladder=[Step(after_min=5, to="chat")])
    notice = made(segment="small")
    for more, told in (
        ({"reps": frozenset(("ben",))}, []),
        ({"segments": frozenset(("enterprise",))}, []),
        ({"reps": frozenset(("anna",)), "segments": frozenset(("small",))}, ["tell", "step"]),
    ):
        one = desk(msgspec.structs.replace(CHAT, **more), prefs=steps)
        assert [purpose for _, purpose, _ in planned(one, notice)] == told


def test_a_rep_chooses_channels_by_kind():
    prefs = Preferences(channels={"opened": ["mail", "mail", INBOX, "gone"], "clicked": []})
    one = desk(CHAT, MAIL, prefs=prefs)
    assert [e.id for e in channels_of(one, made("opened"))] == ["mail"]
    assert channels_of(one, made("clicked")) == []
    assert [e.id for e in channels_of(one, made("visiting_now"))] == ["chat"]


def test_who_has_left_is_not_told():
    assert planned(desk(CHAT, FEED, rep=Rep(id="anna", active=False)), made()) == [("feed", "tell", "due")]


def test_news_that_the_screen_had_in_time_is_not_planned_when_old():
    old = made("opened", fresh_until=NOW - timedelta(seconds=1))
    assert planned(desk(CHAT), old, delivered=True) == []
    assert planned(desk(CHAT), old) == [("chat", "tell", "due")]


def test_over_budget_joins_the_digest_that_is_pending():
    one = desk(CHAT, per_hour=1)
    assert planned(one, made("opened", id="a")) == [("chat", "tell", "due")]
    assert planned(one, made("opened", id="b")) == [("chat", "tell", "held"), ("chat", "digest", "due")]
    assert one.planned[1].due_at == NOW + HOUR
    assert planned(one, made("opened", id="c")) == [("chat", "tell", "held")]
    assert one.planned[0].due_at == NOW + HOUR
    assert planned(one, made(id="d")) == [("chat", "tell", "due")], "an offer always goes"
    # A pause that ends sooner brings the digest forward.
    one.prefs = Preferences(paused_until=NOW + timedelta(minutes=5))
    assert planned(one, made("opened", id="e")) == [("chat", "tell", "held"), ("chat", "digest", "due")]
    assert one.digests["chat"] == NOW + timedelta(minutes=5)


def test_two_channels_held_at_once_are_one_interruption():
    one = desk(CHAT, msgspec.structs.replace(CHAT, id="other"), prefs=Preferences(paused_until=NOW + HOUR))
    planned(one, made("opened"))
    assert one.interrupts == (NOW + HOUR,)


def test_the_ladder_is_planned_once_and_its_people_hear_of_the_end():
    steps = [Step(after_min=5, to="chat"), Step(after_min=9, to="delegate"), Step(after_min=12, to="manager")]
    steps.append(Step(after_min=20, to="gone"))
    one = desk(CHAT, FEED, prefs=Preferences(ladder=steps))
    planned(one, made())
    found = [(d.endpoint, d.who, d.step, d.due_at) for d in one.planned if d.purpose == "step"]
    assert found == [
        ("chat", "rep", 1, NOW + timedelta(minutes=5)),
        (INBOX, "delegate", 2, NOW + timedelta(minutes=9)),
        (INBOX, "manager", 3, NOW + timedelta(minutes=12)),
    ]
    known = [Known(endpoint=d.endpoint, purpose=d.purpose, state="due", step=d.step) for d in one.planned]
    assert planned(one, made(seq=2), known) == [("feed", "change", "due"), ("chat", "change", "due")]
    assert (INBOX, "change", "due") in planned(one, made(seq=3, state="claimed"), known)
    # Its clock does not run in the night.
    sleeping = desk(CHAT, prefs=Preferences(ladder=steps[:1], paused_until=NOW + HOUR))
    planned(sleeping, made(id="y"))
    assert [d.due_at for d in sleeping.planned if d.purpose == "step"] == [NOW + HOUR + timedelta(minutes=5)]
    # No ladder without an offer.
    assert planned(one, made(assignment=None, id="x")) == [("feed", "tell", "due"), ("chat", "tell", "due")]


@given(st.lists(st.integers(0, 7200), max_size=60), st.integers(1, 8))
def test_law_no_hour_has_more_interruptions_than_allowed(seconds, per_hour):
    times: tuple[datetime, ...] = ()
    rang = []
    for at in sorted(seconds):
        now = NOW + timedelta(seconds=at)
        allowed = next_interrupt(times, now, per_hour)
        assert allowed >= now
        if allowed == now:
            times = interrupted(times, now, now)
            rang.append(now)
        else:
            assert len([t for t in rang if allowed - HOUR < t <= allowed]) < per_hour
    for one in rang:
        assert len([t for t in rang if one - HOUR < t <= one]) <= per_hour


# -- judged again right before the send


def facts(**more) -> Facts:
    return Facts(**{"purpose": "tell", "who": "rep", "created_at": NOW, **more})


def test_acknowledged():
    assert not acknowledged(made(), read=False)
    assert acknowledged(made(), read=True)
    assert acknowledged(made(state="claimed"), read=False)
    assert acknowledged(made(assignment=ShownAssignment(id="o1", gen=1, state="accepted")), read=False)
    assert not acknowledged(made("opened"), read=False)
    # A cadence's step is for a lead that has been accepted already.
    step = made("due", assignment=ShownAssignment(id="o1", gen=1, state="accepted"))
    assert not acknowledged(step, read=False)
    assert acknowledged(step, read=True)
    assert acknowledged(made("due", assignment=ShownAssignment(id="o1", gen=1, state="won")), read=False)


@pytest.mark.parametrize(
    ("notice", "more", "verdict"),
    [
        (made(), {}, Send(made())),
        (made(), {"created_at": NOW - TOO_OLD - timedelta(seconds=1)}, Skip("too_old")),
        (made(), {"read": True}, Skip("acknowledged")),
        (made(), {"read": True, "who": "feed"}, Send(made())),
        (made(), {"quiet_until": NOW + HOUR}, Hold(NOW + HOUR, "quiet")),
        (made(), {"quiet_until": NOW + HOUR, "who": "feed"}, Send(made())),
        (made(), {"quiet_until": NOW + HOUR, "who": "manager", "purpose": "step"}, Send(made())),
        (made(), {"purpose": "change"}, Skip("never_told")),
        (made(), {"purpose": "change", "who": "feed"}, Send(made())),
        (made(seq=3), {"purpose": "change", "shown_seq": 3}, Skip("already_shown")),
        (made(seq=3), {"purpose": "change", "shown_seq": 3, "forced": True}, Send(made(seq=3))),
        (made(state="claimed"), {"who": "feed"}, Send(made(state="claimed"))),
        (made(state="claimed"), {"who": "feed", "changes": False}, Skip("acknowledged")),
        (made(seq=3), {"purpose": "change", "shown_seq": 2}, Send(made(seq=3))),
    ],
)
def test_judgement(notice, more, verdict):
    assert judge(notice, facts(**more), NOW) == verdict


def test_news_that_is_none_any_more():
    old = made("opened", fresh_until=NOW - timedelta(seconds=1))
    missed = msgspec.structs.replace(old, kind="you_missed")
    assert judge(old, facts(), NOW) == Send(missed, late=True)
    assert judge(old, facts(delivered=True), NOW) == Skip("seen_in_time")
    assert judge(old, facts(late="drop"), NOW) == Skip("stale")
    assert judge(old, facts(who="feed", late="drop"), NOW) == Send(missed, late=True)


# -- preferences


def test_layers():
    base = Preferences(
        interrupts_per_hour=12, channels={"due": ["a"], "opened": ["a"]}, quiet_hours="daily 20:00-07:00"
    )
    own = Preferences(channels={"opened": []}, quiet_hours="")
    assert layered(base, own) == Preferences(
        interrupts_per_hour=12, channels={"due": ["a"], "opened": []}, quiet_hours=""
    )
    assert layered() == Preferences()
    assert layered(base, Preferences(delegate="ben")) == msgspec.structs.replace(base, delegate="ben")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Preferences(), None),
        (Preferences(channels={"due": ["c1", INBOX]}, quiet_hours="daily 20:00-07:00", delegate="ben"), None),
        (Preferences(ladder=[Step(after_min=1, to="c1"), Step(after_min=2, to="manager")]), None),
        (Preferences(channels={"gossip": []}), "no kind"),
        (Preferences(channels={"due": ["c1"] * 21}), "at most"),
        (Preferences(channels={"due": ["c2"]}), "no channel"),
        (Preferences(quiet_hours="nights"), "quiet_hours"),
        (Preferences(quiet_hours="always"), "pause instead"),
        (Preferences(quiet_hours="mon-fri 00:00-24:00, sat-sun 00:00-12:30 12:00-24:00"), "pause instead"),
        (Preferences(paused_until=datetime(2026, 1, 1)), "its zone"),
        (Preferences(interrupts_per_hour=0), "interrupts_per_hour"),
        (Preferences(interrupts_per_hour=61), "interrupts_per_hour"),
        (Preferences(delegate="nobody"), "no rep"),
        (Preferences(ladder=[Step(after_min=n + 1, to="manager") for n in range(11)]), "at most"),
        (Preferences(ladder=[Step(after_min=0, to="manager")]), "rises"),
        (Preferences(ladder=[Step(after_min=20_000, to="manager")]), "rises"),
        (Preferences(ladder=[Step(after_min=5, to="c2")]), "no channel"),
    ],
)
def test_what_is_wrong_with_preferences(asked, words):
    problem = problem_of(asked, {"c1": "chat"}, frozenset(("anna", "ben")))
    assert problem is None if words is None else words in (problem or "")


def helsinki(*at: int) -> datetime:
    return datetime(*at, tzinfo=ZoneInfo("Europe/Helsinki")).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (helsinki(2026, 11, 24, 19, 59), None),
        (helsinki(2026, 11, 24, 20, 0), helsinki(2026, 11, 25, 7, 0)),
        (helsinki(2026, 11, 25, 6, 59), helsinki(2026, 11, 25, 7, 0)),
        (helsinki(2026, 11, 25, 7, 0), None),
        # The night in which clocks go forward has ten hours of quiet, the one in which they go back twelve.
        (helsinki(2026, 3, 28, 20, 0), helsinki(2026, 3, 28, 20, 0) + timedelta(hours=10)),
        (helsinki(2026, 10, 24, 20, 0), helsinki(2026, 10, 24, 20, 0) + timedelta(hours=12)),
    ],
)
def test_quiet_hours_in_the_reps_zone(now, until):
    assert quiet_until(Preferences(quiet_hours="daily 20:00-07:00"), ANNA, now) == until


@pytest.mark.parametrize("hours", ["", "daily 20:00-07:00"])
def test_a_pause_until_the_end_of_time_stops_no_plan(hours):
    far = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    one = desk(CHAT, MAIL, prefs=Preferences(quiet_hours=hours, paused_until=far))
    assert planned(one, made()) == [
        ("chat", "tell", "held"),
        ("chat", "digest", "due"),
        ("mail", "tell", "held"),
        ("mail", "digest", "due"),
    ]


def test_the_example_of_the_docs_leaves_no_night_out():
    docs = (Path(__file__).parents[3] / "docs" / "channels.md").read_text(encoding="utf-8")
    (hours,) = re.findall(r'"quiet_hours": "(.+?)"', docs)
    # From Friday evening to Monday morning in one piece, and each other night.
    friday, monday = helsinki(2026, 11, 27, 19, 0), helsinki(2026, 11, 30, 8, 0)
    assert quiet_until(Preferences(quiet_hours=hours), ANNA, friday) == monday
    tuesday, wednesday = helsinki(2026, 11, 24, 22, 0), helsinki(2026, 11, 25, 8, 0)
    assert quiet_until(Preferences(quiet_hours=hours), ANNA, tuesday) == wednesday


def test_a_pause_and_quiet_hours_together():
    noon = helsinki(2026, 11, 24, 12, 0)
    prefs = Preferences(quiet_hours="daily 20:00-07:00", paused_until=helsinki(2026, 11, 24, 21, 0))
    assert quiet_until(prefs, ANNA, noon) == helsinki(2026, 11, 25, 7, 0)
    assert quiet_until(Preferences(paused_until=noon - HOUR), ANNA, noon) is None
    assert quiet_until(Preferences(paused_until=noon + HOUR), ANNA, noon) == noon + HOUR


def test_hours_that_cannot_be_read_keep_nothing_back():
    nowhere = Rep(id="x", timezone="Mars/Olympus")
    assert quiet_until(Preferences(quiet_hours="daily 00:00-24:00"), nowhere, NOW) is None
    paused = Preferences(quiet_hours="daily 00:00-24:00", paused_until=NOW + HOUR)
    assert quiet_until(paused, nowhere, NOW) == NOW + HOUR
    # All hours of all days: there is no end to wait for, so it is not waited for.
    assert quiet_until(Preferences(quiet_hours="daily 00:00-24:00"), None, NOW) is None
