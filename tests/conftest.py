"""Fixtures of the whole suite, each in a file of `tests/support`. Nothing here talks to the outside network."""

from importlib.util import find_spec

import pytest
from pytest_socket import socket_allow_hosts

pytest_plugins = [name for name in ("tests.support.postgres", "tests.support.kafka") if find_spec(name) is not None]


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup() -> None:
    """Only this machine: a test that would call the outside fails at once."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
