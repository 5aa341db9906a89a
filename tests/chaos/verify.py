"""Is everything there, once, and right? Compares what the product holds with a plain fold of what lies in the log.

The log's own `tracking.events` is the truth that everything is held to, so that a record which its producer wrote twice
counts as what it is: a repeat. Wait first (`waiting.quiet`) until every stage has read everything.
"""

import asyncio
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec

from schemas.codec import CloudEvent, outcome_decoder, routed_decoder, scored_decoder
from schemas.messages import LeadScored
from schemas.topics import FLOW, LEAD_OUTCOMES, LEAD_ROUTED, LEAD_SCORED, TRACKING_EVENTS
from services.eventlog.ports import Log, Record
from services.notify.core.message import notice_id, reps_of
from services.policy.core.policy import Policy
from services.router.core.assign import UNIT
from services.router.core.decide import again
from services.router.core.model import DecisionRecord
from services.runtime.db import Database
from tests.chaos.waiting import read_topic
from tests.support.offline import expect, key_of

_decisions = msgspec.json.Decoder(DecisionRecord)
REMEMBERED = timedelta(days=90)
STRONG = ("email", "crm", "user")


@dataclass
class Found:
    """What lies in the log and how much of what the product made, for reports."""

    topics: dict[str, list[Record]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


async def verify(
    db: Database,
    log: Log,
    policy: Policy,
    poison: Collection[bytes | None],
    *,
    sent: Collection[bytes | None] = (),
    one_lane: bool = True,
) -> Found:
    """Everything at once; raises AssertionError with what is wrong.

    Args:
        poison: Values of records that can never be events.
        sent: Values that must be in the log, repeats aside.
        one_lane: `lead.scored` had one publisher at a time: versions of a lead lie in order.
    """
    topics = await asyncio.gather(*(read_topic(log, topic.name) for topic in FLOW))
    found = Found({topic.name: records for topic, records in zip(FLOW, topics, strict=True)})
    tracking = found.topics[TRACKING_EVENTS.name]
    lost = set(sent) - {record.value for record in tracking}
    assert not lost, f"{len(lost)} records never reached the log"
    async with db.raw() as pg:
        await _scoring(pg, tracking, policy, poison, found)
        leads = await _scored(pg, found, one_lane=one_lane)
        await _router(pg, found, leads, policy)
        await _notify(pg, found)
        await _outcomes(pg, found)
    return found


async def verify_scoring(db: Database, log: Log, policy: Policy, poison: Collection[bytes | None]) -> Found:
    """The first stage alone, with one publisher."""
    found = Found({topic.name: await read_topic(log, topic.name) for topic in (TRACKING_EVENTS, LEAD_SCORED)})
    async with db.raw() as pg:
        await _scoring(pg, found.topics[TRACKING_EVENTS.name], policy, poison, found)
        await _scored(pg, found, one_lane=True)
    return found


# -- scoring: events, dead letters, counters, links


async def _scoring(
    pg: Any, tracking: Sequence[Record], policy: Policy, poison: Collection[bytes | None], found: Found
) -> None:
    good = [record.value for record in tracking if record.value not in poison]
    expected = expect([value for value in good if value is not None], policy)
    rows = await pg.fetch("SELECT id FROM scoring.event UNION ALL SELECT id FROM scoring.event_side")
    ids = Counter(row["id"].hex for row in rows)
    _same("events", set(ids), expected.events)
    assert max(ids.values(), default=1) == 1, "an event is stored twice"
    found.numbers |= {"records": len(tracking), "events": len(ids)}

    dead = await pg.fetch("SELECT stage, topic, part, off, value, attempts FROM log.dead_letter")
    buried = Counter((r["stage"], r["topic"], r["part"], r["off"]) for r in dead if r["stage"] != "ingest")
    _same(
        "dead letters",
        set(buried),
        {("scoring", TRACKING_EVENTS.name, r.part, r.offset) for r in tracking if r.value in poison},
    )
    assert max(buried.values(), default=1) == 1, "a record died twice"
    assert all(row["attempts"] == 1 for row in dead if row["stage"] != "ingest"), "a record was buried twice"
    by_place = {(record.part, record.offset): record.value for record in tracking}
    for row in dead:
        if row["stage"] != "ingest":
            assert row["value"] == by_place[row["part"], row["off"]], "a dead letter lost its bytes"
    found.numbers["dead"] = len(buried)

    states = {row["key"].hex: row["state"] for row in await pg.fetch("SELECT key, state FROM scoring.profile")}
    _same("counters", _counters(states), {key: of for key, of in expected.counters.items() if of})
    _same("profiles", set(states), set(expected.counters))

    links = await pg.fetch("SELECT key, lead_id FROM scoring.link")
    members: dict[str, set[str]] = defaultdict(set)
    for row in links:
        members[row["lead_id"].hex].add(row["key"].hex)
    strong = {key_of(i["kind"], i["value"]) for value in good for i in _ids(value) if i["kind"] in STRONG}
    _same(
        "links",
        {frozenset(keys) for keys in members.values()},
        {frozenset(keys) for keys in expected.together if keys & strong},
    )
    sizes = await pg.fetch("SELECT id, size FROM scoring.lead WHERE merged_into IS NULL")
    _same("leads", {row["id"].hex: row["size"] for row in sizes}, {lead: len(keys) for lead, keys in members.items()})
    found.numbers["leads"] = len(members)


def _ids(value: bytes | None) -> list[dict[str, str]]:
    return msgspec.json.decode(value)["data"]["ids"] if value else []  # type: ignore[no-any-return]


def _counters(states: Mapping[str, bytes]) -> dict[str, dict[tuple[int, int], int]]:
    counters = {}
    for key, packed in states.items():
        state = array("I", packed)
        of = {(state[n] & 255, state[n] >> 8): state[n + 1] for n in range(0, len(state), 2) if state[n + 1]}
        assert len(of) == sum(1 for n in range(1, len(state), 2) if state[n]), "a counter stands twice"
        if of:
            counters[key] = dict(sorted(of.items()))
    return counters


# -- lead.scored


async def _scored(pg: Any, found: Found, *, one_lane: bool) -> dict[str, dict[int, LeadScored]]:
    """Lead to its messages by version, after checking them against each other and what is stored."""
    leads: dict[str, dict[int, LeadScored]] = defaultdict(dict)
    newest: dict[str, int] = {}
    early = 0
    for record in found.topics[LEAD_SCORED.name]:
        data = scored_decoder.decode(record.value or b"").data
        assert record.key == data.lead_id.encode()
        known = leads[data.lead_id].setdefault(data.version, data)
        if known is not data:
            assert known == data, f"version {data.version} of {data.lead_id} is told in two ways"
            continue  # a repeat
        if data.version < newest.get(data.lead_id, 0):
            early += 1
        newest[data.lead_id] = max(newest.get(data.lead_id, 0), data.version)
    assert not (one_lane and early), f"{early} messages of lead.scored came after a newer one of their lead"
    found.numbers |= {"scored": len(found.topics[LEAD_SCORED.name]), "scored_late": early}
    found.numbers["scored_repeats"] = len(found.topics[LEAD_SCORED.name]) - sum(map(len, leads.values()))
    gaps = {lead: sorted(of) for lead, of in leads.items() if sorted(of) != list(range(1, len(of) + 1))}
    assert not gaps, f"versions are missing in lead.scored: {dict(list(gaps.items())[:3])}"

    rows = {row["id"].hex: row for row in await pg.fetch("SELECT * FROM scoring.lead")}
    _same("newest versions", {lead: max(of) for lead, of in leads.items()}, _told(rows))
    links: dict[str, set[tuple[str, str]]] = defaultdict(set)
    kinds = ("email", "crm", "user", "anonymous")
    for row in await pg.fetch("SELECT lead_id, kind, value FROM scoring.link"):
        links[row["lead_id"].hex].add((kinds[row["kind"]], row["value"]))
    for lead, of in leads.items():
        last, row = of[max(of)], rows[lead]
        merged = row["merged_into"].hex if row["merged_into"] else None
        assert last.merged_into == merged, f"{lead} was last told of as merged into {last.merged_into}"
        if merged is None:
            assert {(m.kind, m.value) for m in last.members} == links[lead], f"{lead} was last told with other members"
            assert last.known == row["known"]
            assert (last.account.domain if last.account else None) == row["account_domain"]
    return leads


def _told(rows: Mapping[str, Any]) -> dict[str, int]:
    return {lead: row["version"] for lead, row in rows.items() if row["version"]}


# -- router


async def _router(pg: Any, found: Found, scored: Mapping[str, Mapping[int, LeadScored]], policy: Policy) -> None:
    causes = {(c.event_id, c.reversed) for of in scored.values() for one in of.values() for c in one.causes}
    handled = {(row["event_id"].hex, row["reversed"]) for row in await pg.fetch("SELECT * FROM router.cause")}
    # The router forgets causes that are too old to be told of again.
    oldest = f"{int((datetime.now(UTC) - REMEMBERED).timestamp() * 1000):012x}"
    _same("causes", {one for one in handled if one[0] > oldest}, {one for one in causes if one[0] > oldest})

    leads = {row["id"].hex: row for row in await pg.fetch("SELECT * FROM router.lead")}
    for lead, of in scored.items():
        assert leads[lead]["version"] == max(of), f"router has not taken the newest version of {lead}"
        last = of[max(of)]
        into = leads[lead]["merged_into"]
        assert bool(into) == bool(last.merged_into), f"router and scoring disagree on whether {lead} lives"
    living = {lead for lead, row in leads.items() if row["merged_into"] is None and not row["erased"]}

    records = [_decisions.decode(row["record"]) for row in await pg.fetch("SELECT record FROM router.decision")]
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in records:
        numbers[one.lead_id].append(one.n)
    for lead, of in numbers.items():
        assert sorted(of) == list(range(1, leads[lead]["decisions"] + 1)), f"decisions of {lead}: {sorted(of)}"
    for one in records:
        verdict, pick = again(one, policy)
        assert (verdict, pick) == (one.verdict, one.pick), f"decision {one.id} is another when decided again"

    routed = _once(found.topics[LEAD_ROUTED.name], routed_decoder)
    told = {one.data.decision_id: one.data for one in routed.values() if one.data.kind == "decided"}
    assert len(told) == sum(1 for one in routed.values() if one.data.kind == "decided"), "a decision is told twice"
    _same("decisions told of", set(told), {one.id for one in records})
    found.numbers |= {"decisions": len(records), "routed": len(found.topics[LEAD_ROUTED.name])}

    rows = await pg.fetch("SELECT * FROM router.assignment")
    offers = {one.assignment.id: one for one in told.values() if one.assignment is not None}
    _same("offers told of", set(offers), {row["id"].hex for row in rows})
    held = Counter(row["lead_id"].hex for row in rows if row["state"] in ("offered", "accepted"))
    assert max(held.values(), default=1) == 1, "a lead has two open assignments"
    assert set(held) <= living, "a lead that is gone is still held"
    reps = {row["lead_id"].hex: row["rep_id"] for row in rows if row["state"] in ("offered", "accepted")}
    for lead in living:
        row = leads[lead]
        assert row["assignee"] == reps.get(lead), (
            f"{lead} is with {row['assignee']}, its assignment says {reps.get(lead)}"
        )
        homes = [row["assignee"], row["track"], row["waiting_until"]]
        assert sum(home is not None for home in homes) == 1, f"{lead} has no home, or two: {homes}"
    await _credits(pg, rows)
    found.numbers["assignments"] = len(rows)


async def _credits(pg: Any, assignments: Sequence[Any]) -> None:
    """Credits are exactly what the assignments that count add up to, and nobody is a lead ahead or behind."""
    owed: dict[str, Counter[str]] = defaultdict(Counter)
    returned: Counter[str] = Counter()
    for row in assignments:
        shares = msgspec.json.decode(row["shares"])
        if not shares:
            continue
        untouched = row["accepted_at"] is None and row["state"] in ("recalled", "closed")
        if row["state"] == "declined" or untouched:
            returned[row["pool"]] += 1
            continue
        owed[row["pool"]].update(shares)
        owed[row["pool"]][row["rep_id"]] -= UNIT
    for row in await pg.fetch("SELECT pool, state FROM router.pool_state"):
        credits_ = {rep: n for rep, n in msgspec.json.decode(row["state"]).get("credits", {}).items() if n}
        _same(f"credits of {row['pool']}", credits_, {rep: n for rep, n in owed[row["pool"]].items() if n})
        worst = max(map(abs, credits_.values()), default=0)
        assert worst <= UNIT * (1 + returned[row["pool"]]), f"{row['pool']} is unfair: {credits_}"


def _once(records: Sequence[Record], decoder: Any) -> dict[str, CloudEvent[Any]]:
    """Message id to its event; repeats must be equal."""
    events: dict[str, CloudEvent[Any]] = {}
    for record in records:
        event = decoder.decode(record.value or b"")
        known = events.setdefault(event.id, event)
        assert known == event, f"message {event.id} is told in two ways"
    return events


# -- notify


async def _notify(pg: Any, found: Found) -> None:
    routed = _once(found.topics[LEAD_ROUTED.name], routed_decoder)
    digests = {blake2b(f"{e.source}\0{e.id}".encode(), digest_size=16).hexdigest(): e.data for e in routed.values()}
    handled = {row["message_id"].hex: row["notices"] for row in await pg.fetch("SELECT * FROM notify.handled")}
    _same("messages that notify has handled", set(handled), set(digests))

    notices = await pg.fetch("SELECT id, rep_id, seq, kind, state, body FROM notify.notice")
    made = {row["id"]: row for row in notices}
    for digest, data in digests.items():
        assert handled[digest] == len(reps_of(data))
        if data.kind == "decided":
            for rep in reps_of(data):
                assert notice_id(_hex(digest), rep) in made, f"a handover of {data.lead.id} was never told"
    offers = Counter(_offer(row["body"]) for row in notices if row["kind"] == "handover")
    assert max(offers.values(), default=1) == 1, f"a handover was told twice: {offers.most_common(3)}"
    alerts = [event for row in notices for event in _what(row)]
    twice = [key for key, n in Counter(alerts).items() if n > 1]
    assert not twice, f"an act was told twice: {twice[:3]}"

    inboxes = {row["rep_id"]: row["seq"] for row in await pg.fetch("SELECT rep_id, seq FROM notify.inbox")}
    seqs: dict[str, list[int]] = defaultdict(list)
    for row in notices:
        seqs[row["rep_id"]].append(row["seq"])
    for rep, of in seqs.items():
        assert len(set(of)) == len(of)
        assert max(of) <= inboxes[rep], f"the cursor of {rep} stands behind a notice"
    await _states(pg, notices)
    found.numbers["notices"] = len(notices)


async def _states(pg: Any, notices: Sequence[Any]) -> None:
    """Each open notice of an offer says how it stands, and each open offer can be seen by its rep."""
    rows = await pg.fetch("SELECT id, rep_id, state FROM router.assignment")
    now = {row["id"].hex: row["state"] for row in rows}
    seen = set()
    for row in notices:
        body = msgspec.json.decode(row["body"])
        if row["kind"] in ("handover", "due") and row["state"] in ("new", "joined"):
            state = now[body["assignment"]["id"]]
            said = body["assignment"]["state"]
            assert said == state, f"a {row['kind']} of {body['lead']['id']} says {said}, the router {state}"
            seen.add((row["rep_id"], body["assignment"]["id"]))
    offered = {(row["rep_id"], row["id"].hex) for row in rows if row["state"] == "offered"}
    assert offered <= seen, f"offers that no notice shows: {list(offered - seen)[:3]}"


def _offer(body: str) -> tuple[str, int]:
    assignment = msgspec.json.decode(body)["assignment"]
    return assignment["id"], assignment["gen"]


def _what(row: Any) -> list[tuple[str, str]]:
    """(rep, event) of what an alert tells."""
    if row["kind"] in ("handover", "due"):
        return []
    return [(row["rep_id"], what["event_id"]) for what in msgspec.json.decode(row["body"])["what"]]


def _hex(digest: str) -> str:
    return UUID(hex=digest).hex


# -- outcomes


async def _outcomes(pg: Any, found: Found) -> None:
    told = _once(found.topics[LEAD_OUTCOMES.name], outcome_decoder)
    rows = Counter(row["id"] for row in await pg.fetch("SELECT id FROM scoring.outcome"))
    assert len(rows) == len(told), f"{len(told)} outcomes were sent, scoring knows {len(rows)}"


def _same(what: str, seen: Any, wanted: Any) -> None:
    """Equal, or the first few differences."""
    if seen == wanted:
        return
    if not isinstance(seen, set):
        differing = [key for key in {*seen, *wanted} if seen.get(key) != wanted.get(key)]
        some = {key: (seen.get(key), wanted.get(key)) for key in differing[:3]}
        said = f"{len(differing)} differ, seen against wanted: {some}"
    else:
        lost, extra = list(wanted - seen), list(seen - wanted)
        said = f"{len(lost)} missing {lost[:3]}, {len(extra)} too many {extra[:3]}"
    raise AssertionError(f"{what}: {said}")
