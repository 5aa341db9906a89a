"""CloudEvents in three modes, and Standard Webhooks."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from standardwebhooks import Webhook

from services.ingest.sources import cloudevents, standardwebhooks
from services.ingest.sources.base import BadBody
from tests.unit.ingest.support import LIMITS, NOW, arrival, events, one

CE = {"specversion": "1.0", "id": "e1", "source": "/crm", "type": "leadrouter.demo.requested.v1"}
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def ce(**fields: Any) -> dict[str, Any]:
    return {**CE, "time": NOW.isoformat(), "subject": "jane@fjordsoft.example", **fields}


def test_structured() -> None:
    event = one(ce(data={"path": "/demo", "plan": "pro", "user_id": "u7"}), "events", platform="cloudevents")
    assert (event.id, event.source, event.type, event.time) == ("e1", "/crm", "leadrouter.demo.requested.v1", NOW)
    assert [(i.kind, i.value) for i in event.data.ids] == [("email", "jane@fjordsoft.example"), ("user", "u7")]
    assert event.data.path == "/demo"


def test_batched_and_half_good() -> None:
    good, codes = events([ce(), ce(id=""), 5, ce(id="e2", subject=None)], "events", platform="cloudevents")
    assert [e.id for e in good] == ["e1"]
    assert codes == ["not_cloudevents", "wrong_type", "no_id"]


def test_binary_with_encoded_headers() -> None:
    headers = {"content-type": "application/json"}
    for name, value in ce(subject="jan%C3%A9@fjordsoft.example").items():
        headers[f"ce-{name}"] = str(value)
    event = one(b'{"url":"https://aurora.example/demo"}', "events", platform="cloudevents", headers=headers)
    assert event.data.ids[0].value == "jané@fjordsoft.example"
    assert event.data.url == "https://aurora.example/demo"


def test_a_bad_binary_event_is_kept_with_its_headers() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "",
        "ce-source": "/x",
        "ce-type": "a.b",
        "content-type": "application/json",
    }
    parsed = cloudevents.parse(arrival(b'{"email":"a1@x.example"}', "events", headers), LIMITS)
    kept = json.loads(parsed.rejected[0].raw)
    assert kept["source"] == "/x"
    kept["id"] = "mended"
    again = cloudevents.parse_item(json.dumps(kept).encode(), LIMITS)
    assert again.seen[0][1].id == "mended"


@pytest.mark.parametrize("render", [to_binary_event, to_structured_event])
def test_the_official_client_is_understood(render: Any) -> None:
    sdk = SdkEvent(
        {
            "id": "e1",
            "source": "/crm",
            "type": "com.example.email.opened",
            "time": NOW,
            "subject": "jané@fjordsoft.example",
        },
        {"message_id": "m1"},
    )
    message = render(sdk)
    headers = {name.lower(): value for name, value in message.headers.items()}
    event = one(bytes(message.body), "events", platform="cloudevents", headers=headers)
    assert event.type == "leadrouter.email.opened.v1"
    assert event.data.message_id == "m1"
    assert event.data.ids[0].value == "jané@fjordsoft.example"
    assert event.time == NOW


@pytest.mark.parametrize(
    ("type_", "signal"),
    [
        ("leadrouter.trial.started.v1", "trial.started"),
        ("leadrouter.TRIAL!.v1", "trial"),
        ("com.example.order.paid.v2", "com_example_order_paid"),
        ("contact.created", "person.identified"),
    ],
)
def test_types(type_: str, signal: str) -> None:
    assert one(ce(type=type_), "events", platform="cloudevents").data.signal == signal


def test_a_browser_cannot_name_the_source() -> None:
    event = one(ce(), "events", platform="cloudevents", trust="publishable")
    assert event.source == "/sources/s1#/crm"


def test_other_data_than_json_is_no_trouble() -> None:
    event = one(ce(datacontenttype="application/xml", data="<a/>"), "events", platform="cloudevents")
    assert not event.data.properties
    coded = base64.b64encode(b'{"path":"/demo"}').decode()
    event = one(ce(datacontenttype="application/json", data_base64=coded), "events", platform="cloudevents")
    assert event.data.path == "/demo"


def test_ids_as_our_own_messages_have_them() -> None:
    ids = [{"kind": "anonymous", "value": "a1"}, {"kind": "user", "value": "u1"}]
    event = one(ce(subject=None, data={"ids": ids}), "events", platform="cloudevents")
    assert [(i.kind, i.value) for i in event.data.ids] == [("user", "u1"), ("anonymous", "a1")]


def test_unreadable() -> None:
    with pytest.raises(BadBody) as error:
        cloudevents.parse(arrival(b"{", "events"), LIMITS)
    assert error.value.code == "malformed_json"


HOOK = json.dumps(
    {"type": "contact.created", "timestamp": NOW.isoformat(), "data": {"email": "jane@x.example"}}
).encode()


def signed(body: bytes = HOOK, secret: str = SECRET, at_s: float = 0) -> dict[str, str]:
    at = NOW + timedelta(seconds=at_s)
    signature = Webhook(secret).sign("msg_1", at, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def check(headers: dict[str, str], body: bytes = HOOK, secrets: tuple[str, ...] = (SECRET,)) -> str | None:
    return standardwebhooks.check(headers, body, secrets, NOW.timestamp())


def test_signatures_of_the_official_library_hold() -> None:
    assert check(signed()) is None
    assert check(signed(at_s=-299)) is None
    assert check(signed(at_s=299)) is None
    other = "whsec_" + base64.b64encode(b"o" * 32).decode()
    assert check(signed(), secrets=(other, SECRET)) is None
    both = signed()
    both["webhook-signature"] = "v1a,xyz v1,AAAA " + both["webhook-signature"]
    assert check(both) is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(at_s=-301), HOOK),
        (signed(at_s=301), HOOK),
        (signed(), HOOK + b" "),
        ({**signed(), "webhook-id": "msg_2"}, HOOK),
        ({**signed(), "webhook-timestamp": "soon"}, HOOK),
        ({**signed(), "webhook-signature": signed()["webhook-signature"].removeprefix("v1,")}, HOOK),
        ({**signed(), "webhook-signature": ""}, HOOK),
        ({}, HOOK),
        (signed(secret="whsec_" + base64.b64encode(b"x" * 32).decode()), HOOK),
    ],
)
def test_signatures_that_do_not_hold(headers: dict[str, str], body: bytes) -> None:
    assert check(headers, body) is not None


def test_a_last_character_with_loose_bits_does_not_pass() -> None:
    headers = signed()
    good = headers["webhook-signature"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(good[-2])
    headers["webhook-signature"] = good[:-2] + alphabet[last ^ 1] + "="
    assert check(headers) is not None


def test_the_hooks_event() -> None:
    event = one(HOOK, "hook", platform="standardwebhooks", headers=signed())
    assert (event.id, event.type) == ("msg_1", "leadrouter.person.identified.v1")
    assert event.data.ids[0].value == "jane@x.example"
    assert event.data.traits == {"email": "jane@x.example"}


def test_a_bad_hook_keeps_its_id_for_the_replay() -> None:
    body = json.dumps({"type": "", "data": {"email": "jane@x.example"}}).encode()
    parsed = standardwebhooks.parse(arrival(body, "hook", signed(body)), LIMITS)
    kept = json.loads(parsed.rejected[0].raw)
    kept["type"] = "contact.created"
    assert standardwebhooks.parse_item(json.dumps(kept).encode(), LIMITS).seen[0][1].id == "msg_1"
