"""The example policy, as text and compiled."""

from pathlib import Path

import pytest

from services.policy.core.compile import Policy, compile_policy

EXAMPLE = Path(__file__).parents[3] / "examples" / "policy.yaml"


@pytest.fixture(scope="session")
def example_text() -> str:
    return EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def policy(example_text: str) -> Policy:
    return compile_policy(example_text, version=3)
