"""Calls that meet go out together, and each hears what became of its own messages."""

import asyncio
from collections.abc import Mapping

import pytest

from schemas.codec import Message
from services.eventlog import gather
from services.eventlog.gather import Gather, Item
from services.runtime.errors import BadMessage, Unavailable


def item(name: bytes) -> list[Item]:
    return [(Message(topic="t", key=name, value=name), 0)]


async def test_calls_that_meet_share_a_round() -> None:
    rounds: list[int] = []
    go = asyncio.Event()

    async def send(items: list[Item]) -> None:
        rounds.append(len(items))
        await go.wait()

    gathered = Gather(send)
    calls = [asyncio.create_task(gathered.put(item(b"%d" % n))) for n in range(10)]
    await asyncio.sleep(0)
    calls += [asyncio.create_task(gathered.put(item(b"%d" % n))) for n in range(7)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*calls)
    assert sum(rounds) == 17
    assert len(rounds) <= 3


async def test_only_the_call_with_the_bad_message_hears_of_it() -> None:
    async def send(items: list[Item]) -> Mapping[int, Exception]:
        return {place: BadMessage("no") for place, (message, _) in enumerate(items) if message.key == b"bad"}

    gathered = Gather(send)
    good, bad = asyncio.create_task(gathered.put(item(b"good"))), asyncio.create_task(gathered.put(item(b"bad")))
    await good
    with pytest.raises(BadMessage):
        await bad


async def test_an_error_reaches_every_call_of_the_round_and_the_next_round_works() -> None:
    fail = True

    async def send(items: list[Item]) -> None:
        if fail:
            raise Unavailable("away")

    gathered = Gather(send)
    calls = [asyncio.create_task(gathered.put(item(b"a"))) for _ in range(3)]
    assert all(isinstance(error, Unavailable) for error in await asyncio.gather(*calls, return_exceptions=True))
    fail = False
    await gathered.put(item(b"b"))


async def test_too_much_waiting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "WAITING_ITEMS", 5)
    hold = asyncio.Event()

    async def send(items: list[Item]) -> None:
        await hold.wait()

    gathered = Gather(send)
    waiting = [asyncio.create_task(gathered.put(item(b"a"))) for _ in range(1)]
    await asyncio.sleep(0.01)
    waiting += [asyncio.create_task(gathered.put(item(b"a") * 5))]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="slower"):
        await gathered.put(item(b"b"))
    hold.set()
    await asyncio.gather(*waiting)


async def test_close_lets_nobody_wait_for_ever() -> None:
    async def send(items: list[Item]) -> None:
        await asyncio.sleep(60)

    gathered = Gather(send)
    first = asyncio.create_task(gathered.put(item(b"a")))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(gathered.put(item(b"b")))
    await asyncio.sleep(0.01)
    await gathered.close(0.05)
    for call in (first, second):
        with pytest.raises(Unavailable):
            await call
