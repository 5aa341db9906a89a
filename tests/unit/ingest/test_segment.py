"""What Segment's and RudderStack's clients send, in our words."""

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode, tracking_decoder
from services.ingest.core.identity import PLACEHOLDERS
from services.ingest.core.mapping import to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources import segment
from services.ingest.sources.base import BadBody, Limits
from tests.unit.ingest.support import LIMITS, NOW, arrival, bad, events, facts, one


def track(event: str = "Email Link Clicked", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": "u1", "messageId": "m1", "timestamp": NOW.isoformat(), **fields}


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_empty_objects_in_every_way_of_writing_them(nothing: Any) -> None:
    data = one(track(properties=nothing, traits=nothing, context=None)).data
    assert (data.signal, data.traits, data.properties) == ("email.clicked", None, msgspec.Raw())
    assert one({**track(), "type": "identify", "traits": nothing}).data.signal == "person.identified"


def test_track() -> None:
    event = one(
        track(
            properties={
                "link": "https://aurora.example/pricing?a=1",
                "campaign_id": "c7",
                "email": "Jane@Fjordsoft.example",
                "plan": "pro",
            }
        )
    )
    data = event.data
    assert (event.id, event.source, event.type) == ("m1", "/sources/s1", "leadrouter.email.clicked.v1")
    assert (event.time, data.occurred_at, data.received_at, data.untimed) == (NOW, NOW, NOW, False)
    assert [(i.kind, i.value) for i in data.ids] == [("email", "jane@fjordsoft.example"), ("user", "u1")]
    assert data.link == "https://aurora.example/pricing?a=1"
    assert (data.message_id, data.campaign, data.name) == ("c7", "c7", "Email Link Clicked")
    assert msgspec.json.decode(data.properties)["plan"] == "pro"
    assert tracking_decoder.decode(encode(event)).data.link == data.link


def test_the_mails_own_id_goes_before_the_campaign() -> None:
    for names in (("message_id", "campaign_id"), ("campaign_id", "message_id"), ("campaignId", "emailId")):
        values = {"message_id": "m", "emailId": "m", "campaign_id": "c", "campaignId": "c"}
        event = one(track(properties={name: values[name] for name in names}))
        assert (event.data.message_id, event.data.campaign) == ("m", "c")


def test_identify_with_company() -> None:
    event = one(
        {
            "type": "identify",
            "anonymousId": "a1",
            "traits": {
                "email": "vp@nordwind.example",
                "firstName": "Vera",
                "jobTitle": "VP Operations",
                "company": {
                    "name": "Nordwind",
                    "employee_count": "2,400",
                    "website": "https://www.nordwind.example/fi",
                },
                "address": {"country": "FI", "street": "x"},
                "nested": {"a": 1},
            },
        }
    )
    data = event.data
    assert data.signal == "person.identified"
    assert data.untimed
    assert data.traits == {
        "email": "vp@nordwind.example",
        "first_name": "Vera",
        "title": "VP Operations",
        "company": "Nordwind",
        "country": "FI",
        "employees": 2400,
    }
    assert data.account == {"name": "Nordwind", "employees": 2400, "domain": "nordwind.example"}
    assert data.properties, "what did not fit into plain traits is kept"


def test_page_reads_properties_and_context() -> None:
    where = {"url": "https://aurora.example/pricing?utm=1", "title": "Pricing"}
    for item in ({"properties": where}, {"context": {"page": where}}, {"properties": {"path": "/pricing"}}):
        data = one({"type": "page", "anonymousId": "a1", **item}).data
        assert (data.signal, data.path) == ("page.viewed", "/pricing")
    assert one({"type": "screen", "name": "Home", "anonymousId": "a1"}).data.signal == "page.viewed"


def test_group_is_the_company() -> None:
    item = {"type": "group", "userId": "u1", "groupId": "g1"}
    traits = {
        "name": "Initech",
        "industry": "software",
        "employees": 420,
        "email": "info@initech.example",
        "domain": "initech.example",
    }
    data = one({**item, "traits": traits}).data
    assert data.signal == "account.updated"
    assert data.account == {
        "name": "Initech",
        "industry": "software",
        "employees": 420,
        "domain": "initech.example",
        "id": "g1",
    }
    assert [i.kind for i in data.ids] == ["user"]


def test_alias_and_delete() -> None:
    data = one({"type": "alias", "userId": "u1", "previousId": "a-1"}).data
    assert data.signal == "person.identified"
    assert [i.value for i in data.ids] == ["u1", "a-1"]
    assert one({"type": "delete", "userId": "u1"}).data.signal == "person.deleted"


def test_the_batch_lends_context_and_time() -> None:
    sent = (NOW - timedelta(seconds=30)).isoformat()
    body = {
        "batch": [
            {**track(), "timestamp": (NOW - timedelta(seconds=40)).isoformat(), "context": {"userAgent": "own"}},
            {**track(), "messageId": "m2"},
        ],
        "context": {"ip": "203.0.113.7", "userAgent": "shared", "traits": {"email": "kim@kivi.example"}},
        "sentAt": sent,
        "integrations": {"All": True},
    }
    good, codes = events(body)
    assert codes == []
    assert [e.data.user_agent for e in good] == ["own", "shared"]
    assert [e.data.ip for e in good] == ["203.0.113.7"] * 2
    assert good[0].data.ids[0].value == "kim@kivi.example"
    assert good[0].data.occurred_at == NOW - timedelta(seconds=10)
    assert good[0].time == NOW - timedelta(seconds=40)


def test_the_address_of_the_client_counts_by_key() -> None:
    item = {"type": "page", "anonymousId": "a1", "context": {"ip": "198.51.100.7"}}
    assert one(item).data.ip == "198.51.100.7"
    assert one(item, trust="publishable", peer="203.0.113.9").data.ip == "203.0.113.9"
    assert one({"type": "page", "anonymousId": "a1"}, peer="203.0.113.9").data.ip is None


@pytest.mark.parametrize(
    ("properties", "actor"),
    [
        ({}, None),
        ({"machine": True}, "machine"),
        ({"prefetched": "true"}, "machine"),
        ({"is_prefetched": 1}, "machine"),
        ({"sg_machine_open": True}, "machine"),
        ({"sg_machine_open": False}, None),
        ({"bot": "apple"}, "machine"),
        ({"bot": "gmail"}, "proxied"),
        ({"bot": ""}, None),
        ({"proxied": True}, "proxied"),
        ({"proxied": True, "bot": True}, "machine"),
        ({"actor": "human", "bot": True}, "human"),
        ({"human": "true"}, "human"),
    ],
)
def test_machine_flags(properties: dict[str, Any], actor: str | None) -> None:
    assert one(track("Email Opened", properties=properties)).data.actor == actor


def test_what_a_form_asks_of_its_sender_is_known_of_the_sender() -> None:
    form = {
        "email": "ake@tundra.example",
        "First Name": "Åke",
        "lastName": "Ähström",
        "job_title": "CMO",
        "company": "Tundra",
        "name": "Contact form",
        "title": "Talk to us",
        "companySize": {"from": 50},
    }
    for event in ("Form Submitted", "Demo Requested"):
        data = one({"type": "track", "event": event, "anonymousId": "b1", "properties": form}).data
        assert data.traits == {"first_name": "Åke", "last_name": "Ähström", "title": "CMO", "company": "Tundra"}
    said = {"context": {"traits": {"title": "CEO"}}, "properties": form}
    assert (one(track("Form Submitted", **said)).data.traits or {})["title"] == "CEO"
    assert one(track("Content Downloaded", properties=form)).data.traits is None
    [(_, referral)] = segment.parse(arrival({"batch": [track("Refer a friend", properties=form)]}), LIMITS).seen
    told = to_event(referral, facts(), Speller({"Refer a friend": "form.submitted"})).data
    assert (told.signal, told.traits) == ("form.submitted", None)


def test_an_invited_friend_does_not_get_the_points() -> None:
    event = one(track("Teammate Invited", properties={"email": "friend@kivi.example"}))
    assert [i.value for i in event.data.ids] == ["u1"]


def test_without_a_message_id_the_content_is_the_name() -> None:
    item = {key: value for key, value in track().items() if key != "messageId"}
    first = one({**item, "sentAt": "2026-11-20T12:00:00Z", "writeKey": "k"}, "track")
    again = one({"writeKey": "other", "sentAt": "2026-11-20T12:00:09Z", **item}, "track")
    other = one({**item, "event": "Email Opened"}, "track")
    assert first.id == again.id != other.id


def test_a_long_or_odd_message_id_is_hashed() -> None:
    assert one(track(messageId="x" * 300)).id.startswith("h-")
    assert one(track(messageId="a\u0000b")).id.startswith("h-")
    assert one(track(messageId=17)).id == "17"


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (5, "wrong_type"),
        (None, "wrong_type"),
        ([], "wrong_type"),
        ("track", "wrong_type"),
        ({}, "unknown_type"),
        ({"type": "conjure", "userId": "u1"}, "unknown_type"),
        ({"type": ["track"], "userId": "u1"}, "unknown_type"),
        ({"type": "track", "userId": "u1"}, "no_name"),
        ({"type": "track", "event": {"a": 1}, "userId": "u1"}, "no_name"),
        ({"type": "page"}, "no_id"),
        ({**track(), "userId": "null"}, "placeholder_id"),
        ({**track(), "userId": ["u1"]}, "wrong_type"),
        ({**track(), "timestamp": "2026-99-99"}, "bad_time"),
        ({**track(), "timestamp": "2999-01-01T00:00:00Z"}, "absurd_time"),
        ({**track(), "timestamp": "1970-01-01T00:00:00Z"}, "absurd_time"),
        ({**track(), "properties": "none"}, "wrong_type"),
        ({**track(), "properties": [1]}, "wrong_type"),
        ({**track(), "traits": 3}, "wrong_type"),
        ({**track(), "context": "web"}, "wrong_type"),
        ({**track(), "context": {"traits": "x"}}, "wrong_type"),
        ({"type": "identify", "traits": {"email": "a" * 10_000 + "@x.example"}}, "email_too_long"),
        ({**track(), "properties": {"a": "x" * 40_000}}, "event_too_large"),
        ({**track(), "event": "x" * 300}, "name_too_long"),
        ({**track(), "userId": "a\u0000b"}, "bad_characters"),
    ],
)
def test_bad_items_spoil_no_other(item: Any, code: str) -> None:
    good, codes = events({"batch": [track(messageId="m0"), item, track(messageId="m2")]})
    assert [e.id for e in good] == ["m0", "m2"]
    assert codes == [code]


def test_every_placeholder() -> None:
    for word in PLACEHOLDERS:
        assert bad({**track(), "userId": word}) == "placeholder_id"


def test_numbers_that_fit_nowhere_are_one_items_trouble() -> None:
    body = b'{"batch":[{"type":"track","event":"a b","userId":"u1","properties":{"a":1e999}},{"type":"page","userId":"u1"}]}'
    good, codes = events(body)
    assert len(good) == 1
    assert codes == ["malformed_json"]


def test_nesting_in_one_item() -> None:
    for depth in (33, 10_000):
        deep = b'{"type":"track","event":"x","userId":"u1","properties":' + b"[" * depth + b"]" * depth + b"}"
        good, codes = events(b'{"batch":[{"type":"page","userId":"u1"},' + deep + b"]}")
        assert len(good) == 1
        assert codes == ["nested_too_deep"]


def test_lone_surrogates_and_nuls_in_text_are_mended() -> None:
    body = (
        rb'{"batch":[{"type":"page","userId":"u1","name":"cut \ud83d","properties":{"title":"a\u0000b","t":"\udc00"}}]}'
    )
    event = one(body)
    assert event.data.name == "cut \ufffd"
    assert msgspec.json.decode(event.data.properties) == {"title": "a\ufffdb", "t": "\ufffd"}
    encode(event).decode("utf-8")


def test_broken_utf8_is_mended() -> None:
    event = one(b'{"batch":[{"type":"page","userId":"u1","properties":{"title":"\xff\xfe"}}]}')
    assert tracking_decoder.decode(encode(event)).data.properties


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "batch", "empty_body"),
        (b"  \n", "track", "empty_body"),
        (b"{", "batch", "malformed_json"),
        (b"not json", "track", "malformed_json"),
        (b'"text"', "batch", "wrong_shape"),
        (b"17", "track", "wrong_shape"),
        (b'{"batch":5}', "batch", "wrong_shape"),
        (b'{"writeKey":"x"}', "batch", "wrong_shape"),
        (b"[" * 200_000, "batch", "nested_too_deep"),
        (b'{"a":' * 200_000, "track", "nested_too_deep"),
        (b"\x00\x01\x02", "batch", "malformed_json"),
    ],
)
def test_bodies_that_nobody_can_read(body: bytes, kind: str, code: str) -> None:
    with pytest.raises(BadBody) as error:
        segment.parse(arrival(body, kind), LIMITS)
    assert error.value.code == code


def test_a_batch_has_an_end() -> None:
    with pytest.raises(BadBody) as error:
        segment.parse(arrival({"batch": [{}] * 11}), Limits(items=10))
    assert (error.value.code, error.value.status) == ("too_many_items", 413)


def test_a_rejected_item_can_be_read_again() -> None:
    raw = json.dumps({**track(), "userId": "u9"}).encode()
    parsed = segment.parse_item(raw, LIMITS)
    assert [seen.user for _, seen in parsed.seen] == ["u9"]
    whole = json.dumps({"batch": [track(), track()]}).encode()
    assert len(segment.parse_item(whole, LIMITS).seen) == 2


def test_the_webhook_destination_signs() -> None:
    body = json.dumps({"type": "track", "event": "x", "userId": "u1"}).encode()
    good = hmac.new(b"s3cret", body, hashlib.sha1).hexdigest()

    def verdict(body: bytes, signature: str, secrets: tuple[str, ...] = ("other", "s3cret")) -> str | None:
        return segment.verify(arrival(body, "hook", {"x-signature": signature}), secrets)

    assert verdict(body, good) is None
    assert verdict(b"[" + body + b"]", good) is None
    assert "only the first" in str(verdict(b"[" + body + b"," + body + b"]", good))
    assert verdict(body + b" ", good) is not None
    assert verdict(body, good, ("other",)) is not None
    assert verdict(body, "") is not None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "userId",
                        "anonymousId",
                        "event",
                        "properties",
                        "traits",
                        "context",
                        "timestamp",
                        "messageId",
                        "email",
                        "page",
                        "url",
                        "x",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_gives_events_or_reasons(item: Any) -> None:
    body = json.dumps({"batch": [item, {"type": "page", "userId": "u1"}]}).encode()
    good, codes = events(body)
    assert len(good) + len(codes) == 2
    for event in good:
        tracking_decoder.decode(encode(event))
