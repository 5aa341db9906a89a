"""Fixtures of the whole suite, each in a file of `tests/support`. Nothing here talks to the outside network."""

from collections.abc import Sequence
from importlib.util import find_spec

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pytest_socket import socket_allow_hosts

pytest_plugins = [
    name
    for name in ("tests.support.postgres", "tests.support.kafka", "tests.support.browser", "tests.support.console")
    if find_spec(name) is not None
]

# Plain tracebacks: the pretty ones take seconds each.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)

# A deadline is a timed assertion: on a busy machine it fails for nothing.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# Tests that share something big stay on one xdist worker (`--dist loadgroup`): one broker, one product at a time.
SHARED = {"kafka": "needs_kafka", "product": "e2e"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Group what belongs together, and mark what needs which part."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "kafka_jars" in names:
            item.add_marker("needs_kafka")
        if "postgres_server" in names:
            item.add_marker("needs_postgres")
        if item.get_closest_marker("xdist_group") is None:
            for group, marker in SHARED.items():
                if item.get_closest_marker(marker) is not None:
                    item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup() -> None:
    """Only this machine: a test that would call the outside fails at once."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
