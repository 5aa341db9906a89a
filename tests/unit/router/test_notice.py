"""Who is told of a lead, and in which words?"""

from datetime import timedelta

import msgspec
import pytest

from services.directory.core.people import Rep
from services.policy.core.compile import compile_policy
from services.router.core import alert, explain, notice
from services.router.core.decide import decide
from services.router.core.model import Before, Held
from tests.support.routing import EXAMPLES, NOW, Person, cause, example_policy

POLICY = example_policy()
TEXT = (EXAMPLES / "policy.yaml").read_text()
HELD = Held(id="a1", rep="chloe", gen=1, state="offered", pool="sdr-midmarket", offered_at=NOW)

CHLOE = notice.Speaker("Chloe Carlsson", "SDR")


# -- alerts


def test_named_accounts_are_alerted_to_more_than_others() -> None:
    named, other = Person("a@nordwind.example").account, Person("a@fjordsoft.example").account
    page, price = cause("p", path="/blog"), cause("q", path="/fi/pricing")
    click, reply, opened = cause("c", "email.clicked"), cause("r", "email.replied"), cause("o", "email.opened")
    everything = [page, price, click, reply, opened]
    assert {a.cause.event_id for a in alert.alerts_of(everything, named, None, POLICY)} == {
        c.event_id for c in (page, price, click, reply)
    }
    assert [a.kind for a in alert.alerts_of([price], other, None, POLICY)] == ["visiting_now"]
    assert {a.cause.event_id for a in alert.alerts_of(everything, other, None, POLICY)} == {
        c.event_id for c in (price, reply)
    }
    assert alert.alerts_of([page], None, None, POLICY) == []


def test_only_human_acts_alert_and_only_to_one_person() -> None:
    named = Person("a@nordwind.example").account
    assert named is not None
    for bad in ({"actor": "machine"}, {"human": 0.49}, {"reversed": True}):
        assert alert.alerts_of([cause("x", **bad)], named, None, POLICY) == []
    assert alert.recipient(HELD, named) == "chloe"
    assert alert.recipient(None, named) == "anna"
    assert alert.recipient(None, None) is None


# -- words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "downloaded a document"),
        ("Content Downloaded", "downloaded a document"),
        ("guide_requested", "downloaded a document"),
        ("Downloaded Whitepaper", "downloaded a document"),
        ("Buyer's guide", "downloaded Buyer's guide"),
    ],
)
def test_a_download_is_told_by_the_documents_name_and_not_by_the_events(name: str | None, words: str) -> None:
    assert notice.act(msgspec.structs.replace(cause("d", "content.downloaded"), name=name)) == words


def test_what_the_rep_reads() -> None:
    person = Person("maria@fjordsoft.example")
    snapshot = person.says(60)
    verdict = decide(snapshot, Before(), POLICY, NOW)
    acts = [
        cause("1", "webinar.attended"),
        cause("2", path="/pricing"),
        cause("3", "x.y_z"),
        cause("4", "email.clicked", actor="machine"),
    ]
    why = notice.why_handover(snapshot, verdict, acts)
    assert why.startswith(
        "Maria, Head of Marketing at Fjordsoft AS: attended a webinar, viewed /pricing and x y z. Stage qualified"
    )
    assert notice.why_handover(snapshot, verdict, []).startswith(
        "Maria, Head of Marketing at Fjordsoft AS: is ready for you."
    )
    assert ". Midmarket hands over to sdr-midmarket at qualified." in why
    said = notice.say(snapshot, verdict.segment, verdict.stage, CHLOE, POLICY, why=why, causes=acts[:2])
    assert said is not None
    assert "Hello Maria" in said.body
    assert "viewed /pricing" in said.body
    assert "{{" not in said.body + said.subject
    assert notice.why_alert(snapshot, acts[1]) == "Maria, Head of Marketing at Fjordsoft AS viewed /pricing"
    alone = msgspec.structs.replace(
        snapshot, account=None, person=msgspec.structs.replace(snapshot.person, name=None, title=None, email=None)
    )
    assert notice.who(alone) == "a lead"
    assert notice.who(msgspec.structs.replace(alone, known=False)) == "somebody"
    of = decide(alone, Before(), POLICY, NOW)
    bare = notice.say(alone, of.segment, of.stage, CHLOE, POLICY, why="", causes=[])
    assert bare is not None
    assert notice.lead_ref(snapshot).name == "Maria"
    assert notice.first_name(" ") is None
    empty = compile_policy(TEXT[: TEXT.index("templates:")] + "templates: []\n" + TEXT[TEXT.index("goals:") :], 2)
    assert notice.say(snapshot, verdict.segment, verdict.stage, CHLOE, empty, why="", causes=[]) is None


@pytest.mark.parametrize(
    ("lead", "rep", "hello", "language"),
    [
        (None, ("fi", "sv"), "Hei Maria,", "fi"),
        (None, ("sv", "fi"), "Hej Maria!", "sv"),
        (None, ("no", "sv"), "Hej Maria!", "sv"),  # the first that there is a message in
        (None, ("en", "fi"), "Hello Maria,", "en"),
        (None, ("no",), "Hello Maria,", "en"),
        (None, (), "Hello Maria,", "en"),
        ("sv-SE", ("fi",), "Hej Maria!", "sv"),  # the lead reads it: its own language stands before the rep's
        ("Finnish", ("sv",), "Hei Maria,", "fi"),
        ("de_DE", ("fi",), "Hello Maria,", "en"),  # known, and none of ours: not the rep's, which may be read even less
        ("?", ("fi",), "Hei Maria,", "fi"),
    ],
)
def test_the_message_is_in_the_leads_language_or_else_in_the_reps(
    lead: str | None, rep: tuple[str, ...], hello: str, language: str
) -> None:
    snapshot = Person("maria@fjordsoft.example").says(60)
    snapshot = msgspec.structs.replace(snapshot, person=msgspec.structs.replace(snapshot.person, language=lead))
    verdict = decide(snapshot, Before(), POLICY, NOW)
    who = notice.speaker("chloe", Rep(id="chloe", name="Chloe Carlsson", languages=rep))
    said = notice.say(snapshot, verdict.segment, verdict.stage, who, POLICY, why="", causes=[])
    assert said is not None
    assert (said.body.splitlines()[0], said.language) == (hello, language)
    assert said.body.rstrip().endswith("Chloe Carlsson")


def test_the_last_acts_are_remembered_without_what_was_taken_back() -> None:
    first = notice.remember([], [cause(str(i), at=NOW + timedelta(minutes=i)) for i in range(12)])
    assert len(first) == notice.WHATS_KEPT
    assert first[0].at > first[-1].at
    gone = cause("11", reversed=True)
    after = notice.remember(first, [gone, cause("m", actor="machine")])
    assert [what.event_id for what in after] == [what.event_id for what in first[1:]]


def test_the_path_as_text() -> None:
    reason = {"code": "x", "text": "because of this"}
    lead = {
        "id": "l1", "email": "a@b.example", "name": None, "account": {"domain": "b.example"}, "segment": None, "stage": "unknown",
        "route": "nurture", "track": None, "assignee": None, "fit": {"grade": "A", "score": 90, "reasons": [reason]},
        "engagement": {"score": 3.0, "parts": [{"signal": "page.viewed", "points": 3.0}]}, "cooldown_until": "soon", "waiting_until": "then",
        "waiting_reason": "empty_pool",
    }  # fmt: skip
    decision = {
        "n": 1, "at": "now", "route": "sdr", "assignee": None, "track": None, "policy_version": 1, "trigger": "scored", "reasons": [reason],
        "counterfactual": [reason], "candidates": [{"text": "A is next", "chosen": True}, {"text": "B is away"}], "causes": ["e1"],
    }  # fmt: skip
    one = {"offered_at": "t", "rep": "a", "via": "pool", "state": "lost", "accepted_at": "u", "reason": "no_budget"}
    text = explain.render({"lead": lead, "decisions": [decision], "assignments": [one]})
    for part in (
        "a@b.example <a@b.example>, b.example",
        "page.viewed 3.0",
        "rests until soon",
        "waits until then: empty_pool",
        "sdr to nobody yet",
        "chosen   A is next",
        "skipped  B is away",
        "events   e1",
        "t: a (pool), lost, accepted u, no_budget",
    ):
        assert part in text
    silent = {**decision, "causes": []}
    assert "events" not in explain.render({"lead": lead, "decisions": [silent], "assignments": []})
    bare = {"id": "l1", "stage": "unknown", "route": "nurture", "assignee": "anna"}
    assert explain.render({"lead": bare, "decisions": [], "assignments": []}).startswith("l1\n")
    assert explain.render({"lead": {**bare, "account": {"name": "B"}}, "decisions": [], "assignments": []}).startswith(
        "l1, B\n"
    )
