"""A client of Kafka is given up, whatever its own end comes to; who waits for that can still be cancelled."""

import asyncio

import pytest

from services.eventlog import kafka_calls
from services.eventlog.kafka_calls import discard


async def test_a_client_whose_own_tasks_are_cancelled_is_closed() -> None:
    """aiokafka awaits the requests that it has cancelled."""

    async def close() -> None:
        request = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        request.cancel()
        await request

    await discard(close)


async def test_a_client_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_calls, "CLOSE_S", 0.05)
    ended = asyncio.Event()

    async def close() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    await discard(close)
    assert ended.is_set()


@pytest.mark.parametrize("error", [ConnectionResetError(), AttributeError(), AssertionError()])
async def test_parts_that_are_not_there_do_not_matter(error: Exception) -> None:
    async def close() -> None:
        raise error

    await discard(close)


async def test_a_bug_is_told() -> None:
    async def close() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await discard(close)


async def test_who_waits_can_be_cancelled() -> None:
    ended = asyncio.Event()

    async def close() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    waiting = asyncio.create_task(discard(close))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
