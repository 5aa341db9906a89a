"""The directory in memory: loads the tables into one immutable view and follows their changes."""

import asyncio
import contextlib
from typing import Final

import asyncpg
import structlog

from services.directory.core.match import DirectoryView
from services.directory.rows import CHANNEL, Counts, DirectoryStore, Loaded
from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable

__all__ = ["CHANNEL", "Counts", "DirectoryCache", "DirectoryStore"]

log = structlog.get_logger(__name__)

DEBOUNCE_S: Final = 0.05  # an import and the edits around it become one reload
POLL_S: Final = 5.0  # should a notification be lost


class DirectoryCache:
    """The directory in memory. `view` is always whole and never changes under its reader; keep it for a batch.

    Args:
        listener: Not started yet: the cache asks it for `directory_changed`.
    """

    def __init__(self, db: Database, listener: Listener) -> None:
        self.store = DirectoryStore(db)
        self._loaded = Loaded(-1, -1, DirectoryView())
        self._called = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        listener.on(CHANNEL, self._notified)

    @property
    def view(self) -> DirectoryView:
        """The newest view that was loaded."""
        return self._loaded.view

    async def start(self) -> None:
        """Load the first view, then follow the changes."""
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="directory-cache")

    async def stop(self) -> None:
        """Stop following; the last view stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self) -> DirectoryView:
        """Load now whatever has changed; the caller's own writes are in the answer."""
        async with self._one_at_a_time:
            self._loaded = await self.store.load(self._loaded if self._loaded.version >= 0 else None)
            return self._loaded.view

    async def ready(self) -> str | None:
        """None when the view follows the database, else words."""
        if self._loaded.version < 0:
            return "the directory is not loaded yet"
        return "the directory no longer follows its database" if self._task is None or self._task.done() else None

    def _notified(self, payload: str) -> None:
        # An empty payload: the listener has reconnected and may have missed something.
        if not payload.isdigit() or int(payload) > self._loaded.version:
            self._called.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), POLL_S)
                await asyncio.sleep(DEBOUNCE_S)
            self._called.clear()
            try:
                await self.refresh()
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("the directory could not be read again; the view of before stays", error=str(error))
                await asyncio.sleep(DEBOUNCE_S)
