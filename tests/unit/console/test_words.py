"""Filters, availability and leads as words: pure views."""

from datetime import UTC, datetime, timedelta

import pytest

from services.console import filters
from services.console.views import availability, lead
from services.directory.core.calendar import Availability
from services.directory.core.people import Absence, Rep
from services.runtime.attempts import KEYS_MAX, PER_ADDRESS, PER_TOKEN, WINDOW_S, Attempts
from services.runtime.clock import FixedClock
from tests.support.routing import example_policy

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_filters():
    assert filters.day("2026-11-24T23:30:00Z", "Europe/Helsinki") == "25 Nov 2026"
    assert filters.clock(NOW, "Europe/Helsinki") == "Tue 24 Nov, 14:00"
    assert filters.iso("2026-11-24T12:00:00") == "2026-11-24T12:00:00+00:00"
    assert [filters.span(s) for s in (4, 720, 9000, 7200, 400_000)] == ["4 s", "12 min", "2.5 h", "2 h", "5 days"]
    assert [filters.plural(n, "lead") for n in (1, 2, 1000)] == ["1 lead", "2 leads", "1,000 leads"]
    assert filters.plural(2, "company", "companies") == "2 companies"
    assert filters.words("ready_to_buy.now") == "ready to buy now"
    assert [filters.sentence(s) for s in ("offered to Anna", "Really?", "")] == ["Offered to Anna.", "Really?", ""]


def test_a_week_goes_to_the_form_and_back():
    rep = Rep(id="a", timezone="Europe/Helsinki", hours="mon-thu 09:00-17:00, fri 08:00-12:00 13:00-24:00")
    shown = availability.week(rep, NOW, Availability(True, "available", "", NOW + timedelta(hours=3)))
    assert [d.text for d in shown.days] == ["09:00-17:00"] * 4 + ["08:00-12:00 13:00-24:00", "", ""]
    fields = {d.key: d.text for d in shown.days}
    assert availability.hours_of(fields) == "mon-thu 09:00-17:00, fri 08:00-12:00 13:00-24:00"
    assert availability.hours_of({**fields, "always": "1"}) == "always"
    assert availability.hours_of({}) == ""
    assert availability.hours_of(dict.fromkeys(("sat", "sun"), "10-12")) == "sat-sun 10-12"
    assert (shown.state, shown.until) == ("At work", "Tue 24 Nov, 17:00")


def test_absences_and_pauses_in_the_reps_own_time():
    helsinki = timedelta(hours=2)
    days = Absence(
        start=datetime(2026, 11, 24, tzinfo=UTC) - helsinki, end=datetime(2026, 11, 26, tzinfo=UTC) - helsinki
    )
    one = Absence(start=days.start, end=days.start + timedelta(days=1), note="dentist")
    hours = Absence(start=NOW, end=NOW + timedelta(hours=1))
    over = Absence(start=NOW - timedelta(days=9), end=NOW - timedelta(days=8))
    rep = Rep(
        id="a", timezone="Europe/Helsinki", absences=(hours, over, days, one), alerts_paused_until=NOW - timedelta(1)
    )
    shown = availability.week(rep, NOW, Availability(False, "absent", "", None))
    assert [a.words for a in shown.away] == [
        "24 Nov 2026 – 25 Nov 2026",
        "24 Nov 2026",
        "Tue 24 Nov, 14:00 – Tue 24 Nov, 15:00",
    ]
    assert all(a.now for a in shown.away)
    assert (shown.paused, shown.always, shown.state) == (None, True, "Absent")
    assert availability.pause_until("tomorrow", NOW, "Europe/Helsinki") == datetime(2026, 11, 25, 7, tzinfo=UTC)
    assert availability.pause_until("monday", NOW, "Europe/Helsinki") == datetime(2026, 11, 30, 7, tzinfo=UTC)
    assert availability.pause_until("1h", NOW, "UTC") == NOW + timedelta(hours=1)
    assert availability.pause_until("", NOW, "UTC") is None
    assert "Europe/Helsinki" in availability.zones()


def test_preferences_of_a_form_leave_what_it_does_not_hold():
    shown = {
        "own": {"ladder": [{"after_min": 5, "to": "manager"}], "quiet_hours": "daily 20:00-07:00"},
        "effective": {"interrupts_per_hour": 6, "channels": {"due": []}},
        "channels": [{"id": "s1", "name": "Slack", "kinds": ["handover", "due"]}],
        "kinds": ["handover", "due"],
    }
    found = availability.reach(shown)
    assert found.kinds == [
        ("handover", "A lead is offered to you", frozenset({"s1"})),
        ("due", "Reminders", frozenset()),
    ]
    asked = availability.preferences_of({"per_hour": "4", "quiet_hours": "", "delegate": "", "due|s1": "1"}, shown)
    assert asked == {
        "ladder": [{"after_min": 5, "to": "manager"}],
        "quiet_hours": "",
        "interrupts_per_hour": 4,
        "channels": {"handover": [], "due": ["s1"]},
    }
    assert availability.preferences_of({"reset": "1"}, shown) == {}
    assert "interrupts_per_hour" not in availability.preferences_of({"per_hour": "many"}, shown)


def item(signal, days_ago, state="scored", **more):
    at = (NOW - timedelta(days=days_ago)).isoformat()
    return {"signal": signal, "occurred_at": at, "state": state, "human": 1.0, "path": None, "name": None, **more}


def test_score_history_counts_what_a_person_did():
    policy = example_policy()
    items = [item("webinar.attended", 2), item("page.viewed", 5, path="/pricing", url="https://a.example/pricing")]
    history = lead.score_history(items, policy, NOW)
    values = dict(history)
    assert history[0][1] == 0
    assert values[NOW - timedelta(days=5)] > 0
    assert values[NOW - timedelta(days=2)] > values[NOW - timedelta(days=5)]
    assert 0 < history[-1][1] < values[NOW - timedelta(days=2)]
    machine = [item("webinar.attended", 2, state="machine", human=0.0)]
    assert lead.score_history(machine, policy, NOW) == []
    svg = str(
        lead.chart(
            history, [*lead.marks_of([{"counterfactual": [{"code": "engagement_below", "text": "x", "limit": 40}]}])]
        )
    )
    assert "next stage 40" in svg
    assert lead.marks_of([]) == []


def test_the_score_history_is_drawn_in_the_time_of_the_rep():
    evening = datetime(2026, 11, 24, 22, 30, tzinfo=UTC)  # the 25th has begun in Helsinki
    points = [(evening - timedelta(minutes=30), 1.0), (evening, 2.0)]
    utc, there = str(lead.chart(points)), str(lead.chart(points, zone="Europe/Helsinki"))
    assert (">22:00<" in utc, ">24 Nov<" in utc, ">25 Nov<" in utc) == (True, True, False)
    assert (">00:00<" in there, ">22:00<" in there, ">25 Nov<" in there) == (True, False, True)


def test_how_an_offer_ended_is_told_in_words():
    assert [lead.ENDED[code] for code in ("bad_fit", "no_budget", "sla_reassign")] == [
        "wrong fit",
        "no budget",
        "not answered in time",
    ]


def test_a_list_of_leads_says_each_thing_once():
    account = {"name": "Nordwind Oyj", "domain": "nordwind.example"}
    base = dict.fromkeys(
        ("email", "name", "title", "assignment", "assignee", "track", "fit", "segment", "waiting_until")
    )
    one = {
        **base,
        "id": "1",
        "account": account,
        "stage": "ready_to_buy",
        "updated_at": NOW,
        "engagement": {"score": 0.6},
    }
    visitor, known = lead.lines([one, {**one, "name": "Vera Virta", "title": "CFO"}], {}, NOW)
    assert (visitor.name, visitor.about, visitor.score) == ("Somebody from Nordwind Oyj", "", 1)
    assert known.about == "CFO, Nordwind Oyj"
    [at_home] = lead.lines([{**one, "name": "Vera Virta", "title": "CFO"}], {}, NOW, company=False)
    assert at_home.about == "CFO"


def test_machines_are_struck_and_told_why():
    items = [
        item("email.clicked", 1, state="machine", human=0.0, reasons=["burst"], link="https://a.example/x"),
        item("page.viewed", 0, url="https://a.example/pricing", path="/pricing"),
        item("email.opened", 3, state="too_old", reasons=["too_old"]),
        item(None, 3, name="Custom Thing"),
    ]
    scan, page, old, custom = lead.moments(items, NOW, "UTC", example_policy())
    assert (scan.machine, scan.struck, scan.why, scan.worth) == (True, True, "many links at once: a scanner", "")
    assert (page.struck, page.where, page.did) == (False, "/pricing", "viewed")
    assert page.worth.startswith("+")
    assert (old.machine, old.struck) == (False, True)
    assert custom.did == "Custom Thing"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"assignment": {"rep": "anna", "state": "accepted"}}, "Anna has accepted it"),
        ({"assignment": {"rep": "anna", "state": "offered"}}, "offered to Anna"),
        ({"assignee": "bo"}, "with bo"),
        ({"cooldown_until": NOW}, "rests until Tue 24 Nov, 12:00"),
        ({"waiting_until": NOW}, "waits until Tue 24 Nov, 12:00"),
        ({"track": "self_serve"}, "nurture, self serve"),
        ({}, "nobody yet"),
    ],
)
def test_who_works_a_lead(more, words):
    base = dict.fromkeys(("assignment", "assignee", "cooldown_until", "waiting_until", "track"))
    assert lead.standing({**base, **more}, {"anna": "Anna"}, "UTC") == words


def test_attempts_are_counted_by_address_and_token_and_forgotten():
    clock = FixedClock(NOW)
    attempts = Attempts(clock)
    for n in range(PER_TOKEN):
        assert attempts.wait_s("1.2.3.4", "lr_rep_guess__same") == 0, n
        attempts.failed("1.2.3.4", f"lr_rep_guess__{n}")
    assert attempts.wait_s("5.6.7.8", "lr_rep_guess__x") == WINDOW_S
    assert attempts.wait_s("1.2.3.4", "another") == 0
    for n in range(PER_ADDRESS):
        attempts.failed("1.2.3.4", f"{n:014}")
    assert attempts.wait_s("1.2.3.4", "another") > 0
    assert attempts.wait_s("5.6.7.8", "another") == 0
    clock.steady += WINDOW_S
    assert attempts.wait_s("1.2.3.4", "lr_rep_guess__x") <= 0
    attempts.failed("1.2.3.4", "lr_rep_guess__x")
    assert attempts.wait_s("1.2.3.4", "lr_rep_guess__x") == 0
    for n in range(KEYS_MAX):
        attempts.failed(f"10.{n}", f"{n:014}")
    assert len(attempts._counts) == KEYS_MAX
