"""Calls that meet go out together: one round to the log at a time, carrying whatever came meanwhile.

Under load the rounds grow by themselves, when idle a call leaves at once: no timer, no setting.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from schemas.codec import Message
from services.runtime.errors import Unavailable

Item = tuple[Message, int]  # a message and its partition
# Returns what failed: index of an item to its error; None or nothing there when all are durable.
Send = Callable[[list[Item]], Awaitable[Mapping[int, Exception] | None]]

# One round: few enough bytes to be acknowledged well within the time limit.
ROUND_ITEMS: Final = 8_000
ROUND_BYTES: Final = 8 << 20
# More than this waiting means that the log is too slow for us: say so instead of eating memory.
WAITING_ITEMS: Final = 100_000


def size_of(message: Message) -> int:
    """Bytes of key and value."""
    return len(message.key or b"") + len(message.value or b"")


class Gather:
    """Gathers `put` calls into rounds of `send`.

    Args:
        send: Writes one round, durably. When it raises, every call of the round gets the error; what it returns goes
            to the calls that the items belong to.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: deque[tuple[Sequence[Item], int, asyncio.Future[None]]] = deque()
        self._items = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def put(self, items: Sequence[Item]) -> None:
        """Returns when `items` are durable.

        Raises:
            Unavailable: Too much is waiting already, or we are closing.
        """
        if self._closed or self._items + len(items) > WAITING_ITEMS:
            msg = "the log is closing" if self._closed else "the log is slower than what comes in"
            raise Unavailable(msg, code="log_busy", retry_after_s=1.0)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # As `size_of`, without a call for each.
        size = sum([len(message.key or b"") + len(message.value or b"") for message, _ in items])
        self._waiting.append((items, size, done))
        self._items += len(items)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="log writer")
        await done

    async def close(self, seconds: float) -> None:
        """Wait for what is under way, at most `seconds`; what is left fails with `Unavailable`."""
        self._closed = True
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, seconds)
        self._fail([done for _, _, done in self._waiting], Unavailable("the log is closing", code="log_busy"))
        self._waiting.clear()

    async def _run(self) -> None:
        while self._waiting:
            items: list[Item] = []
            calls: list[tuple[range, asyncio.Future[None]]] = []
            total = 0
            while self._waiting and len(items) < ROUND_ITEMS and total < ROUND_BYTES:
                more, size, done = self._waiting.popleft()
                calls.append((range(len(items), len(items) + len(more)), done))
                items.extend(more)
                total += size
            self._items -= len(items)
            try:
                failed = await self._send(items) or {}
            except asyncio.CancelledError:
                self._fail([done for _, done in calls], Unavailable("the log is closing", code="log_busy"))
                raise
            except Exception as error:  # noqa: BLE001 not swallowed: every caller of the round gets it
                self._fail([done for _, done in calls], error)
            else:
                for places, done in calls:
                    wrong = [failed[place] for place in places if place in failed] if failed else []
                    if wrong:
                        self._fail([done], wrong[0])
                    elif not done.done():
                        done.set_result(None)

    @staticmethod
    def _fail(calls: Sequence[asyncio.Future[None]], error: Exception) -> None:
        for done in calls:
            if not done.done():
                done.set_exception(error)
