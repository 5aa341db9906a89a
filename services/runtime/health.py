"""Is this process alive, and may it be given work? `/livez`, `/readyz`, `/metrics`, and the watchdog.

Alive means that every loop has turned within its limit, not that the process exists. Ready means that every check says
nothing is wrong. A loop that no longer turns ends the process: the supervisor starts it again, the log loses nothing.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Gauge
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.runtime.clock import Clock
from services.runtime.telemetry import REGISTRY

log = structlog.get_logger(__name__)

READY_TIMEOUT_S = 5.0
EXIT_STUCK = 70  # sysexits.h EX_SOFTWARE: an internal fault, start me again
TURN_S = 1.0

LOOP_AGE = Gauge("leadrouter_loop_age_seconds", "Seconds since a loop last turned", ["loop"], registry=REGISTRY)

Check = Callable[[], Awaitable[str | None]]


@dataclass
class _Loop:
    limit_s: float
    at: float


class Loops:
    """The loops of this process and its readiness checks.

    Args:
        limit_s: A loop that has not turned for so many seconds is stuck, unless it said otherwise.
    """

    def __init__(self, clock: Clock, limit_s: float = 60.0) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._loops: dict[str, _Loop] = {}
        self._checks: dict[str, Check] = {}
        self._starting = True

    def register(self, name: str, limit_s: float | None = None) -> None:
        """Watch the loop `name` from now on."""
        self._loops[name] = _Loop(limit_s or self._limit_s, self._clock.monotonic())

    def beat(self, name: str) -> None:
        """The loop has turned. A name not seen before is watched from now on."""
        loop = self._loops.get(name)
        if loop is None:
            self.register(name)
        else:
            loop.at = self._clock.monotonic()

    def forget(self, name: str) -> None:
        """The loop has ended, as it should."""
        self._loops.pop(name, None)

    def beat_all(self) -> None:
        """Begin to count anew, after the whole process stood still."""
        for name in list(self._loops):
            self.beat(name)

    def ages(self) -> dict[str, float]:
        """Loop to seconds since it last turned."""
        now = self._clock.monotonic()
        return {name: max(0.0, now - loop.at) for name, loop in list(self._loops.items())}

    def stuck(self) -> dict[str, float]:
        """Those loops that have not turned within their limit, with their age in seconds."""
        ages = self.ages()
        return {name: ages[name] for name, loop in list(self._loops.items()) if ages.get(name, 0.0) > loop.limit_s}

    def check(self, name: str, check: Check) -> None:
        """Ask `check` at every `/readyz`: None when all is well, else what is wrong, in words."""
        self._checks[name] = check

    def started(self) -> None:
        """Everything has been started and has its check: from now on the checks alone decide."""
        self._starting = False

    async def unready(self) -> dict[str, str]:
        """Check to what is wrong; empty when work may come. Until `started` was called it may not."""
        if self._starting:
            return {"start": "still starting"}

        async def ask(check: Check) -> str | None:
            try:
                return await asyncio.wait_for(check(), READY_TIMEOUT_S)
            except TimeoutError:
                return f"no answer within {READY_TIMEOUT_S:g} s"
            except Exception as error:  # noqa: BLE001 whatever a check raises means: not ready, because of this
                return str(error) or type(error).__name__

        names = list(self._checks)
        said = await asyncio.gather(*(ask(self._checks[name]) for name in names))
        return {name: words for name, words in zip(names, said, strict=True) if words}


def health_routes(loops: Loops) -> Sequence[BaseRoute]:
    """`/livez`, `/readyz` and `/metrics`."""

    async def livez(_request: Request) -> Response:
        stuck = loops.stuck()
        if stuck:
            words = ", ".join(f"{name} for {age:.0f} s" for name, age in sorted(stuck.items()))
            return JSONResponse({"code": "loop_stuck", "message": f"not turning: {words}", "detail": stuck}, 503)
        return JSONResponse({"alive": True, "loops": {name: round(age, 3) for name, age in loops.ages().items()}})

    async def readyz(_request: Request) -> Response:
        wrong = await loops.unready()
        if wrong:
            words = "; ".join(f"{name}: {said}" for name, said in sorted(wrong.items()))
            return JSONResponse({"code": "not_ready", "message": words, "detail": wrong}, 503)
        return JSONResponse({"ready": True})

    async def metrics(_request: Request) -> Response:
        for name, age in loops.ages().items():
            LOOP_AGE.labels(name).set(age)
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


def _end(stuck: dict[str, float]) -> None:
    log.error("loop stuck: ending the process", loops={name: round(age, 1) for name, age in stuck.items()})
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(EXIT_STUCK)


class Watchdog:
    """Ends the process when a loop is stuck. Runs in a thread, so that a blocked event loop is seen too.

    Args:
        end: What to do with the stuck loops, by default say so, show all threads and end; tests give their own.
    """

    def __init__(self, loops: Loops, clock: Clock, end: Callable[[dict[str, float]], None] = _end) -> None:
        self._loops = loops
        self._clock = clock
        self._end = end
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watch the event loop itself, and every loop that beats."""
        self._loops.register("event_loop")
        self._task = asyncio.create_task(self._beat(), name="watchdog beat")
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._loops.forget("event_loop")
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5)

    async def _beat(self) -> None:
        while True:
            self._loops.beat("event_loop")
            await asyncio.sleep(TURN_S)

    def _watch(self) -> None:
        last = self._clock.monotonic()
        while not self._over.wait(TURN_S):
            now = self._clock.monotonic()
            # We ourselves stood still (SIGSTOP, a sleeping machine): nobody could turn, so nobody is stuck.
            if now - last > 5 * TURN_S:
                self._loops.beat_all()
            last = now
            stuck = self._loops.stuck()
            if stuck:
                self._end(stuck)
                return
