"""One open stream: a short queue of frames between a channel and a connection."""

import asyncio
from typing import Final, Literal

# A notice is about 1 kB: a connection that is 256 behind does not read. It is ended and resumes by its cursor.
QUEUE_MAX: Final = 256

Ended = Literal["slow", "stopping", "revoked", "gone"]


class Subscription:
    """Frames for one connection, bounded: a full queue ends the stream instead of growing.

    Attributes:
        key: The rep or the browser that it listens for.
        last: The newest seq that was queued or sent; a frame at or before it is never sent again.
        live: The channel may push to it; before that its past is being replayed.
        ended: Why it is over; None while it is open.
    """

    __slots__ = ("_frames", "_wake", "ended", "key", "last", "last_id", "live")

    def __init__(self, key: str, last: int = 0) -> None:
        self.key = key
        self.last = last
        self.last_id = ""
        self.live = False
        self.ended: Ended | None = None
        self._frames: list[bytes] = []
        self._wake = asyncio.Event()

    def push(self, frame: bytes) -> bool:
        """Queue a frame; False when the stream is over, also when this frame was one too many."""
        if self.ended is not None:
            return False
        if len(self._frames) >= QUEUE_MAX:
            self.end("slow")
            return False
        self._frames.append(frame)
        self._wake.set()
        return True

    def end(self, why: Ended) -> None:
        """No more frames; what is queued is dropped, the reader resumes by its cursor."""
        if self.ended is None:
            self.ended = why
            self._frames.clear()
            self._wake.set()

    async def frames(self, wait_s: float) -> bytes:
        """All queued frames as one piece; empty after `wait_s` seconds without any, or when the stream has ended."""
        if not self._frames and self.ended is None:
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                return b""
        self._wake.clear()
        taken = b"".join(self._frames)
        self._frames.clear()
        return taken
