"""The golden messages: they decode, fit the published schemas, come back unchanged, and mean what their names say."""

import json
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from schemas.codec import encode, outcome_decoder, routed_decoder, scored_decoder, tracking_decoder
from schemas.describe import message_schema
from schemas.messages import ID_KINDS
from schemas.signals import SIGNALS, event_type
from schemas.topics import FLOW
from services.ingest.core.identity import partition_key
from services.notify.core.desk import desk
from services.notify.core.message import apply, problem_of, reps_of
from services.policy.core.compile import compile_policy
from services.router.core.decide import decide
from services.router.core.model import Before
from services.router.handler.scored import check
from services.scoring.core.identity import Names
from services.scoring.core.read import Event, read

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "schemas" / "examples"
DECODERS = {
    "tracking.events": tracking_decoder,
    "lead.scored": scored_decoder,
    "lead.routed": routed_decoder,
    "lead.outcomes": outcome_decoder,
}
FILES = sorted(EXAMPLES.glob("*/*.json"))
VALIDATORS = {topic.name: jsonschema.Draft202012Validator(message_schema(topic)) for topic in FLOW}


def example(topic, name):
    return DECODERS[topic].decode((EXAMPLES / topic / f"{name}.json").read_bytes())


def of(topic):
    return [pytest.param(path, id=path.stem) for path in FILES if path.parent.name == topic]


def test_every_topic_has_several():
    assert {path.parent.name for path in FILES} == {topic.name for topic in FLOW}
    assert all(len(of(topic.name)) >= 5 for topic in FLOW)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_fits_its_schema_and_comes_back_unchanged(path):
    topic = path.parent.name
    VALIDATORS[topic].validate(json.loads(path.read_bytes()))
    event = DECODERS[topic].decode(path.read_bytes())
    again = encode(event)
    VALIDATORS[topic].validate(json.loads(again))
    assert DECODERS[topic].decode(again) == event
    assert again.startswith(b'{"specversion":"1.0"')


@pytest.mark.parametrize("topic", ["lead.scored", "lead.routed", "lead.outcomes"])
def test_our_own_messages_name_topic_and_lead(topic):
    for path in FILES:
        if path.parent.name == topic:
            event = DECODERS[topic].decode(path.read_bytes())
            assert event.type == event_type(topic)
            lead = event.data.lead.id if topic == "lead.routed" else event.data.lead_id
            assert event.subject == lead


def test_all_kinds_have_an_example():
    for topic in ("lead.scored", "lead.routed", "lead.outcomes"):
        data = message_schema(next(t for t in FLOW if t.name == topic))["$defs"]
        kinds = data[{"lead.scored": "LeadScored", "lead.routed": "LeadRouted", "lead.outcomes": "LeadOutcome"}[topic]]
        shown = {json.loads(path.read_bytes())["data"]["kind"] for path in FILES if path.parent.name == topic}
        assert shown == set(kinds["properties"]["kind"]["enum"])


# -- what the stages make of them


@pytest.mark.parametrize("path", of("tracking.events"))
def test_scoring_can_read_every_event(path):
    event = tracking_decoder.decode(path.read_bytes())
    seen = read(path.read_bytes(), 1_795_511_100_000, Names(), 100_000)
    assert isinstance(seen, Event), seen
    assert seen.signal == event.data.signal
    assert [ID_KINDS[ident.kind] for ident in seen.idents] == [one.kind for one in event.data.ids]
    assert seen.signal in SIGNALS or path.stem == "custom-signal"
    assert partition_key(event.data.ids).startswith(f"{event.data.ids[0].kind}:".encode())


@pytest.fixture(scope="module")
def policy():
    return compile_policy((ROOT / "examples" / "policy.yaml").read_text(), version=1)


@pytest.mark.parametrize(
    ("name", "segment", "stage", "to"),
    [
        ("named-account", "enterprise", "identified", "owner"),
        ("mql", "midmarket", "qualified", "sdr-midmarket"),
        ("reversed", "midmarket", "qualified", "sdr-midmarket"),
        ("visitor-of-named-account", "enterprise", "unknown", None),
        ("wrong-person", "volume", "unknown", None),
    ],
)
def test_the_router_decides_on_a_snapshot_as_its_name_says(name, segment, stage, to, policy):
    event = example("lead.scored", name)
    check(event.data)
    verdict = decide(event.data, Before(), policy, event.time)
    assert (verdict.segment, verdict.stage, verdict.to) == (segment, stage, to)


def test_a_wrong_person_stays_in_nurture_because_of_the_fit(policy):
    event = example("lead.scored", "wrong-person")
    verdict = decide(event.data, Before(), policy, event.time)
    assert verdict.route == "nurture"
    assert "fit_below" in {reason.code for reason in verdict.reasons}


@pytest.mark.parametrize("path", of("lead.scored"))
def test_the_router_takes_every_snapshot(path):
    check(scored_decoder.decode(path.read_bytes()).data)


NOTICES = {
    "handover-to-owner": ("anna", "handover", "new"),
    "handover-to-sdr": ("chloe", "handover", "new"),
    "visiting-now": ("anna", "visiting_now", "new"),
    "somebody-from-named-account": ("anna", "visiting_now", "new"),
    "sla-escalated": ("maria", "due", "new"),
}


@pytest.mark.parametrize("path", of("lead.routed"))
def test_notify_makes_of_a_message_what_its_name_says(path):
    event = routed_decoder.decode(path.read_bytes())
    now = event.time + timedelta(seconds=1)
    assert problem_of(event.data) is None
    desks = {rep: desk(rep, 0, None, None, now) for rep in reps_of(event.data)}
    apply(desks, event.id, event.data, now, 1800.0)
    made = [(rep, n.kind, n.state) for rep, one in desks.items() for n in one.notices.values()]
    assert made == ([NOTICES[path.stem]] if path.stem in NOTICES else [])


def test_a_recall_changes_the_notice_of_its_handover():
    offered, recalled = example("lead.routed", "handover-to-sdr"), example("lead.routed", "recalled")
    desks = {"chloe": desk("chloe", 0, None, None, offered.time)}
    for event in (offered, recalled):
        apply(desks, event.id, event.data, event.time, 1800.0)
    [notice] = desks["chloe"].notices.values()
    assert notice.state == "recalled"
