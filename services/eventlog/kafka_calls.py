"""How do we call aiokafka? Bounded in time, its errors turned into ours, its clients given up when they do not close."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError

from services.runtime.errors import Misconfigured, Unavailable
from services.runtime.settings import Settings

T = TypeVar("T")

# What aiokafka raises when a broker is away, or when it was closed under a call that was under way.
AWAY: Final = (KafkaError, OSError, asyncio.TimeoutError)
CLOSE_S: Final = 2.0
METADATA_MAX_AGE_MS: Final = 1000


def where(settings: Settings) -> str:
    """The brokers, and how we go to them, for people: a wrong password looks like a broker that is away."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return str(settings.kafka)
    user = f" as {settings.kafka_user}" if protocol.startswith("SASL") else ""
    return f"{settings.kafka} ({protocol}{user})"


def connection(settings: Settings) -> dict[str, Any]:
    """What every client of aiokafka is told of where and how to connect.

    Raises:
        Misconfigured: A login without name or password, or certificates that cannot be read.
    """
    protocol = settings.kafka_security_protocol
    told: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "client_id": "lead-router",
        "security_protocol": protocol,
        "request_timeout_ms": int(settings.kafka_timeout_s * 1000),
    }
    if protocol.endswith("SSL"):
        try:
            # The host name is checked, against the system's certificates unless others are named.
            told["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file)
        except OSError as error:
            msg = f"LEAD_ROUTER_KAFKA_CA_FILE: {settings.kafka_ca_file} cannot be used: {error}"
            raise Misconfigured(msg) from error
    if protocol.startswith("SASL"):
        if not settings.kafka_user or settings.kafka_password is None:
            msg = f"LEAD_ROUTER_KAFKA_SECURITY_PROTOCOL={protocol} needs LEAD_ROUTER_KAFKA_USER and _PASSWORD"
            raise Misconfigured(msg)
        told["sasl_mechanism"] = settings.kafka_sasl_mechanism
        told["sasl_plain_username"] = settings.kafka_user
        told["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return told


async def bounded(work: Awaitable[T], seconds: float, where: str) -> T:
    """The result of `work`, or `Unavailable` when Kafka does not give one in time."""
    try:
        return await asyncio.wait_for(work, seconds)
    except AWAY as error:
        said = "" if isinstance(error, asyncio.TimeoutError) or not str(error) else f": {error}"
        raise Unavailable(f"Kafka at {where} does not answer{said}", code="kafka_away") from error


async def discard(close: Callable[[], Awaitable[Any]]) -> None:
    """Close a client, or give up on it: after a failed start some of its parts are not there."""
    closing = asyncio.ensure_future(close())
    try:
        await asyncio.wait([closing], timeout=CLOSE_S)
    finally:
        closing.cancel()
        # aiokafka cancels its requests and awaits them unguarded: its CancelledError is no wish to cancel us.
        await asyncio.gather(closing, return_exceptions=True)
    if not closing.cancelled():
        with contextlib.suppress(*AWAY, AttributeError, AssertionError):
            closing.result()
