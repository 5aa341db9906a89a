"""Every platform reads what it sends: own examples with the vendors' field names, and what they must become."""

from typing import Any

import msgspec
import pytest

from services.ingest.sources.base import Limits
from services.ingest.sources.registry import ALIASES, PLATFORMS, platform_named
from tests.unit.ingest.sources.examples import EXAMPLES, Example
from tests.unit.ingest.sources.reading import ids, read

_NAMED = pytest.mark.parametrize("example", EXAMPLES, ids=[f"{n}-{example.name}" for n, example in enumerate(EXAMPLES)])


@_NAMED
def test_what_an_example_becomes(example: Example) -> None:
    found = read(example.platform, example.body, example.headers)
    assert (found.refused, found.bad) == (None, [])
    assert found.signals == example.signals
    assert found.ignored == example.ignored
    if found.events:
        assert ids(found.events[0].data)[0] == example.id
        first = found.events[0].data
        assert {name: getattr(first, name) for name in example.has} == example.has


@_NAMED
def test_the_same_request_again_has_the_same_ids(example: Example) -> None:
    one, two = (
        read(example.platform, example.body, example.headers),
        read(example.platform, example.body, example.headers),
    )
    assert [event.id for event in one.events] == [event.id for event in two.events]
    assert [event.time for event in one.events] == [event.time for event in two.events]


@_NAMED
def test_events_of_one_request_are_told_apart(example: Example) -> None:
    found = read(example.platform, example.body, example.headers)
    keys = [(event.id, event.time, event.data.signal) for event in found.events]
    assert len(set(keys)) == len(keys)


@_NAMED
def test_every_event_carries_what_it_was_made_of(example: Example) -> None:
    for event in read(example.platform, example.body, example.headers).events:
        if example.platform not in ("segment", "cloudevents"):
            assert msgspec.json.decode(event.data.properties)


def test_every_platform_has_an_example() -> None:
    assert {example.platform for example in EXAMPLES} == set(PLATFORMS)
    assert set(ALIASES.values()) <= set(PLATFORMS)
    assert platform_named(" SendGrid ") is PLATFORMS["sendgrid"]
    assert platform_named("nobody") is None


@_NAMED
def test_a_dead_letter_of_an_item_is_read_the_same_way(example: Example) -> None:
    """Were an item refused (here: by a bound), its bytes alone give the same event once the reason is gone."""
    if not example.signals or example.platform in ("segment", "cloudevents", "standardwebhooks"):
        pytest.skip("items of these are replayed in their own tests")
    platform = PLATFORMS[example.platform]
    from tests.unit.ingest.sources.reading import arrival

    strict = platform.parse(arrival(example.body, example.headers), Limits(nesting=0))
    assert strict.seen == []
    again: list[Any] = []
    for bad in strict.rejected:
        again += [seen for _, seen in platform.parse_item(bad.raw, Limits()).seen]
    whole = platform.parse(arrival(example.body, example.headers), Limits())
    assert [(seen.id, seen.signal, seen.emails) for seen in again] == [
        (seen.id, seen.signal, seen.emails) for _, seen in whole.seen
    ]
