"""The product as a process of its own: started, asked, killed, started again."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from services.cli.client import Client

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on, out of those that no outgoing connection is ever given in the meantime."""
    while True:
        port = secrets.randbelow(12_000) + 20_000
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Product:
    """`lead-router <mode>` in a folder of its own."""

    def __init__(self, folder: Path, mode: str = "up", **env: str) -> None:
        self.folder, self.mode = folder, mode
        self.port = free_port()
        self.log = folder.parent / f"{folder.name}-{mode}.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LEAD_ROUTER_")}
        self.env = {
            **clean,
            "LEAD_ROUTER_PORT": str(self.port),
            "LEAD_ROUTER_DATA_DIR": str(folder),
            "LEAD_ROUTER_LOG": "json",
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, ready_s: float = 90) -> None:
        """Start and wait until it takes events."""
        await self._start("/readyz", ready_s)

    async def start_without_ready(self, alive_s: float = 60) -> None:
        """Start and wait until it is alive: something that it needs is away."""
        await self._start("/livez", alive_s)

    async def _start(self, path: str, seconds: float) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", self.mode], cwd=ROOT, env=self.env, stdout=out, stderr=out
            )
        end = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=10) as http:
            while time.monotonic() < end:
                assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.tail()}"
                try:
                    if (await http.get(f"http://127.0.0.1:{self.port}{path}")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)
        raise AssertionError(f"{path} does not answer 200 after {seconds} s: {self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def client(self) -> Client:
        """A client with the tokens of its access.json."""
        return Client.from_folder(self.folder)

    async def stop(self, sign: signal.Signals = signal.SIGTERM, wait_s: float = 30) -> int:
        """Send a signal and wait; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return await asyncio.to_thread(self.process.wait, wait_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop within {wait_s} s: {self.tail()}") from None
