"""Tasks that must not end: a bug in one ends the process, as a bug in a reading loop does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


def watched(
    work: Coroutine[Any, Any, None], name: str, on_fatal: Callable[[Exception], None] | None
) -> asyncio.Task[None]:
    """Run `work` as a task; `on_fatal` hears of an error that ends it."""

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            log.error("a loop has ended", loop=name, error=str(error), exc_info=error)
            if on_fatal is not None:
                on_fatal(error)

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task
