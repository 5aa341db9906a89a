"""How do we call aiokafka? Bounded in time, its errors turned into ours, its clients given up when they do not close."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError

from services.runtime.errors import Unavailable

T = TypeVar("T")

# What aiokafka raises when a broker is away, or when it was closed under a call that was under way.
AWAY: Final = (KafkaError, OSError, asyncio.TimeoutError)
CLOSE_S: Final = 2.0
METADATA_MAX_AGE_MS: Final = 1000


async def bounded(work: Awaitable[T], seconds: float, where: str) -> T:
    """The result of `work`, or `Unavailable` when Kafka does not give one in time."""
    try:
        return await asyncio.wait_for(work, seconds)
    except AWAY as error:
        said = "" if isinstance(error, asyncio.TimeoutError) or not str(error) else f": {error}"
        raise Unavailable(f"Kafka at {where} does not answer{said}", code="kafka_away") from error


async def discard(close: Callable[[], Awaitable[Any]]) -> None:
    """Close a client, or give up on it: after a failed start some of its parts are not there."""
    with contextlib.suppress(*AWAY, AttributeError, AssertionError):
        await asyncio.wait_for(close(), CLOSE_S)
