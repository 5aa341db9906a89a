"""Alive is: every loop turned in time. Ready is: no check says otherwise. Stuck ends the process."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from starlette.applications import Starlette

from services.runtime.clock import FixedClock, SystemClock
from services.runtime.health import EXIT_STUCK, Loops, Watchdog, health_routes

ROOT = Path(__file__).parents[3]


def client(loops: Loops) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=health_routes(loops))), base_url="http://here"
    )


async def test_livez_names_the_loop_that_does_not_turn() -> None:
    clock = FixedClock(datetime(2026, 11, 24, tzinfo=UTC))
    loops = Loops(clock, 60)
    loops.register("scoring")
    loops.register("slow", limit_s=600)
    async with client(loops) as http:
        assert (await http.get("/livez")).status_code == 200
        clock.steady = 61
        answer = await http.get("/livez")
        assert answer.status_code == 503
        assert answer.json()["code"] == "loop_stuck"
        assert answer.json()["detail"] == {"scoring": 61}
        loops.beat("scoring")
        assert (await http.get("/livez")).json() == {"alive": True, "loops": {"scoring": 0, "slow": 61}}
        clock.steady = 700
        assert set(loops.stuck()) == {"scoring", "slow"}
        loops.forget("scoring")
        loops.beat_all()
        assert loops.stuck() == {}
        assert 'leadrouter_loop_age_seconds{loop="slow"}' in (await http.get("/metrics")).text


async def test_readyz_says_what_is_wrong() -> None:
    loops = Loops(SystemClock())
    said: dict[str, str | None] = {"router": "still migrating"}

    async def router() -> str | None:
        return said["router"]

    async def broken() -> str | None:
        raise ValueError("no database")

    async with client(loops) as http:
        assert (await http.get("/readyz")).json()["detail"] == {"start": "still starting"}
        loops.check("router", router)
        assert (await http.get("/readyz")).status_code == 503
        loops.started()
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {
            "code": "not_ready",
            "message": "router: still migrating",
            "detail": {"router": "still migrating"},
        }
        said["router"] = None
        assert (await http.get("/readyz")).json() == {"ready": True}
        loops.check("log", broken)
        assert (await http.get("/readyz")).json()["detail"] == {"log": "no database"}


async def test_a_check_that_hangs_is_not_ready(monkeypatch) -> None:
    monkeypatch.setattr("services.runtime.health.READY_TIMEOUT_S", 0.05)
    loops = Loops(SystemClock())
    loops.started()

    async def hangs() -> str | None:
        await asyncio.sleep(60)
        return None

    loops.check("log", hangs)
    assert "no answer" in (await loops.unready())["log"]


async def test_the_watchdog_ends_a_process_whose_loop_is_stuck(monkeypatch) -> None:
    monkeypatch.setattr("services.runtime.health.TURN_S", 0.02)
    ended: list[dict[str, float]] = []
    loops = Loops(SystemClock(), 0.3)
    watchdog = Watchdog(loops, SystemClock(), ended.append)
    await watchdog.start()
    loops.register("scoring")
    end = time.monotonic() + 5
    while not ended and time.monotonic() < end:
        await asyncio.sleep(0.02)
    await watchdog.stop()
    assert set(ended[0]) == {"scoring"}
    assert loops.ages().keys() == {"scoring"}


def test_a_blocked_event_loop_ends_the_process_and_shows_where() -> None:
    code = """
import asyncio, time
from services.runtime import health
from services.runtime.clock import SystemClock
health.TURN_S = 0.05
async def main():
    loops = health.Loops(SystemClock(), 0.5)
    await health.Watchdog(loops, SystemClock()).start()
    await asyncio.sleep(0.1)
    time.sleep(20)  # where it is blocked
asyncio.run(main())
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == EXIT_STUCK
    assert time.monotonic() - began < 15
    assert "Current thread" in done.stderr
    assert "in main" in done.stderr


async def test_a_process_that_was_frozen_whole_is_not_ended(monkeypatch) -> None:
    monkeypatch.setattr("services.runtime.health.TURN_S", 0.02)
    clock = FixedClock(datetime(2026, 11, 24, tzinfo=UTC))
    ended: list[dict[str, float]] = []
    loops = Loops(clock, 30)
    watchdog = Watchdog(loops, clock, ended.append)
    await watchdog.start()
    loops.register("scoring")
    await asyncio.sleep(0.1)
    clock.steady = 3600  # SIGSTOP for an hour
    await asyncio.sleep(0.2)
    assert ended == []
    await watchdog.stop()
