"""The examples of docs/integrating.md are run as they stand."""

import json
import re
from pathlib import Path

import jsonschema

from schemas.codec import tracking_decoder
from schemas.describe import message_schema
from schemas.signals import SIGNALS
from schemas.topics import TRACKING_EVENTS
from services.ingest.core.identity import partition_key
from services.ingest.sources.base import Limits
from services.ingest.sources.cloudevents import PLATFORM
from services.scoring.core.identity import Names
from services.scoring.core.read import Event, read

PAGE = (Path(__file__).parents[3] / "docs" / "integrating.md").read_text()
NOW_MS = 1_795_511_600_000


def block_after(name):
    """The code block after the mark `<!-- tested: name -->`."""
    return re.search(rf"<!-- tested: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_kafka_example_writes_what_scoring_reads():
    scope = {}
    exec(block_after("kafka"), scope)
    key, value = scope["key"], scope["value"]
    jsonschema.validate(json.loads(value), message_schema(TRACKING_EVENTS))
    event = tracking_decoder.decode(value)
    assert partition_key(event.data.ids) == key == b"email:maria.holm@fjordsoft.example"
    seen = read(value, NOW_MS, Names(), 100_000)
    assert isinstance(seen, Event)
    assert seen.signal == "demo.requested"


def test_the_cloudevent_example_is_understood():
    parsed = PLATFORM.parse_item(block_after("cloudevent").encode(), Limits())
    assert not parsed.rejected
    [(_, seen)] = parsed.seen
    assert seen.signal == "demo.requested" or "demo" in str(seen.name)
    assert "maria.holm@fjordsoft.example" in seen.emails


def test_the_page_names_every_signal():
    assert set(SIGNALS) <= set(re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE))
