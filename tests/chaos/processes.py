"""Processes of the product to be killed, frozen and started again: many, quickly.

A nursery is one Python process that has imported the command line. For each process wanted it forks, and the child runs
`lead-router <mode>` with an environment of its own: the real command without the seconds of its imports.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from tests.e2e.product import ROOT, free_port

PR_SET_PDEATHSIG = 1


class Process:
    """One running `lead-router <mode>`.

    Attributes:
        code: Its exit code once it has ended; negative: the signal that ended it.
    """

    def __init__(self, nursery: "Nursery", mode: str, env: dict[str, str], log: Path) -> None:
        self.mode, self.log = mode, log
        self.port = int(env.get("LEAD_ROUTER_PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self._nursery = nursery
        self._env = {**env, "LEAD_ROUTER_PORT": str(self.port)}
        self.pid = 0
        self.code: int | None = None

    def start(self) -> "Process":
        """Fork; does not wait until it is ready."""
        self.code = None
        self.pid = self._nursery.fork(self, [self.mode], self._env)
        return self

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.pid > 0 and self.code is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self, seconds: float = 60) -> int:
        """Wait for its end; the exit code."""
        end = time.monotonic() + seconds
        while self.code is None:
            assert time.monotonic() < end, f"{self.mode} still runs after {seconds:g} s: {self.tail()}"
            await asyncio.sleep(0.02)
        return self.code

    async def ready(self, seconds: float = 90) -> "Process":
        """Wait until it takes work."""
        end = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=10) as http:
            while time.monotonic() < end:
                assert self.code is None, f"{self.mode} ended with {self.code}: {self.tail()}"
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(f"{self.url}/readyz")).status_code == 200:
                        return self
                await asyncio.sleep(0.05)
        raise AssertionError(f"{self.mode} is not ready after {seconds:g} s: {self.tail()}")

    async def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal and wait for the end."""
        self.send(signal.SIGCONT)
        self.send(number)
        return await self.ended(seconds)

    def tail(self, lines: int = 25) -> str:
        """The end of what it said."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


class Nursery:
    """Forks processes of the product. Close it, and all of them are gone."""

    def __init__(self) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LEAD_ROUTER_")}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.processes"],
            cwd=ROOT,
            env=clean,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._born: list[int] = []
        self._some = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._children: dict[int, Process] = {}
        self._gone: dict[int, int] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def make(self, mode: str, env: dict[str, str], log: Path) -> Process:
        """A process that is not started yet."""
        return Process(self, mode, env, log)

    def fork(self, process: Process, arguments: list[str], env: dict[str, str]) -> int:
        """Start it; its process id."""
        wanted = {"arguments": arguments, "env": env, "log": str(process.log)}
        assert self._server.stdin is not None
        with self._one_at_a_time, self._some:
            self._server.stdin.write(json.dumps(wanted).encode() + b"\n")
            self._server.stdin.flush()
            assert self._some.wait_for(lambda: bool(self._born), 60), "the nursery does not answer"
            pid = self._born.pop()
            self._children[pid] = process
            if pid in self._gone:
                process.code = self._gone.pop(pid)
        return pid

    def close(self) -> None:
        """End it and whatever it has started."""
        for pid, process in self._children.items():
            if process.pid == pid and process.running:
                process.send(signal.SIGKILL)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._reader.join(10)
        self._server.stdout.close()

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            what, pid, *rest = line.split()
            with self._some:
                if what == b"born":
                    self._born.append(int(pid))
                    self._some.notify_all()
                elif int(pid) in self._children:
                    self._children[int(pid)].code = int(rest[0])
                else:
                    self._gone[int(pid)] = int(rest[0])


# -- the nursery's own process


def _serve() -> None:
    import services.cli.run  # noqa: F401 the point of it all: imported once

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                _say(b"born", _fork(json.loads(line)))
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                _say(b"gone", ended[0], os.waitstatus_to_exitcode(ended[1]))


def _say(what: bytes, *numbers: int) -> None:
    os.write(1, b" ".join([what, *(b"%d" % n for n in numbers)]) + b"\n")


def _fork(wanted: dict[str, object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    # The child: a process like any other that was started by the command.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    out = os.open(str(wanted["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, out), (2, out)):
        os.dup2(source, target)
    os.environ.update(wanted["env"])  # type: ignore[call-overload]  # str to str
    sys.argv = ["lead-router", *wanted["arguments"]]  # type: ignore[misc]  # a list of str
    code = 70
    try:
        from services.cli import main

        main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0 if ending.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
