"""What the properties say beside the deed itself."""

from typing import Any

import pytest

from services.ingest.core.hints import actor_of, hints


@pytest.mark.parametrize(
    ("properties", "actor"),
    [
        ({"method": "HEAD"}, "machine"),
        ({"request_method": "head "}, "machine"),
        ({"Sec-Purpose": "prefetch;prerender"}, "machine"),
        ({"X-Moz": "prefetch"}, "machine"),
        ({"method": "GET"}, None),
        ({"method": "Headphones"}, None),
        ({"purpose": "Head of marketing"}, None),
        ({"method": True, "purpose": 7, "http_method": None}, None),
        ({"method": "HEAD", "human": True}, "machine"),
        ({"is_bot": "true"}, "machine"),
        ({"bot": "gmail"}, "proxied"),
    ],
)
def test_who_did_it_as_the_properties_say(properties: dict[str, Any], actor: str | None) -> None:
    assert actor_of(hints(properties)) == actor
