"""What `lead-router source test` shows: events, bad items and ignored types, without keeping anything."""

import json

from services.ingest.commands import preview
from services.ingest.sources.registry import PLATFORMS
from tests.unit.ingest.sources.examples import ANNE, EXAMPLES, Example
from tests.unit.ingest.sources.reading import NOW, arrival

BODY = [
    {"event": "open", "email": ANNE, "timestamp": 1_795_000_000, "sg_event_id": "o1"},
    {"event": "open", "email": "nobody", "timestamp": 1_795_000_000},
    {"event": "processed", "email": ANNE},
    {"email": ANNE},
]


def test_it_shows_every_item() -> None:
    shown = preview(PLATFORMS["sendgrid"], json.dumps(BODY).encode(), now=NOW)
    (event,) = shown["events"]
    assert (event["index"], event["id"], event["signal"]) == (0, "o1", "email.opened")
    assert [(bad["index"], bad["code"]) for bad in shown["rejected"]] == [(3, "field_missing"), (1, "bad_email")]
    assert shown["ignored"] == [{"index": 2, "type": "processed"}]


def test_a_body_that_cannot_be_read_and_a_map() -> None:
    assert preview(PLATFORMS["sendgrid"], b"{", now=NOW)["rejected"][0]["code"] == "malformed_json"
    body = json.dumps({"what": "Signed Up", "who": ANNE}).encode()
    shown = preview(PLATFORMS["json"], body, now=NOW, query={"event": "/what", "email": "/who"})
    assert shown["events"][0]["signal"] == "product.signed_up"
    own = preview(
        PLATFORMS["json"],
        body,
        now=NOW,
        query={"event": "Joined", "email": "/who"},
        spellings={"joined": "demo.requested"},
    )
    assert own["events"][0]["signal"] == "demo.requested"


def test_every_example_can_be_shown() -> None:
    def shown(example: Example) -> list[str]:
        request = arrival(example.body, example.headers)
        found = preview(PLATFORMS[example.platform], request.raw, now=NOW, headers=request.headers)
        json.dumps(found, default=str)
        return [event["signal"] for event in found["events"]]

    assert [shown(example) for example in EXAMPLES] == [example.signals for example in EXAMPLES]
