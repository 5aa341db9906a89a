"""Every platform says what to do in it, with the address to call."""

import pytest

from services.ingest.sources.registry import PLATFORMS
from services.ingest.sources.setup import SETUP, steps_of


def test_every_platform_is_there() -> None:
    assert set(SETUP) == set(PLATFORMS)


@pytest.mark.parametrize("platform", SETUP)
def test_steps_name_the_address(platform: str) -> None:
    steps = steps_of(platform, "https://leads.example", "abc")
    assert any("https://leads.example" in step or "@leads.example/hooks/abc" in step for step in steps)
    assert SETUP[platform].secret
