"""The database of those who have none: a real PostgreSQL from the wheel, started, watched and stopped by us.

Reads, writes, owns: `postgres/`, `postgres.lock`, `postgres.log` and `run/` in the data folder. The server listens on a
socket in a folder of mode 0700 only, is our direct child, and ends when we end, however we end.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncpg
import structlog

from services.runtime import pg_folder
from services.runtime.db import socket_url
from services.runtime.errors import Misconfigured
from services.runtime.pg_folder import USER, Account

log = structlog.get_logger(__name__)

PORT = 5432
DATABASE = "lead_router"
# A crash recovery of max_wal_size takes well under a minute on a slow disk.
READY_LIMIT_S = 120.0
STOP_LIMIT_S = 15.0
QUIT_LIMIT_S = 5.0
# Long enough for a clean stop under way, short enough to say "in use" while one still looks at the screen.
LOCK_WAIT_S = 3.0
POLL_S = 0.05
RESTARTS_MAX, RESTARTS_WITHIN_S = 5, 60.0
LOG_MAX_BYTES = 10_000_000

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "150",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # compiling costs more than our short queries
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgres:
    """One PostgreSQL in `data_dir`.

    Call `start` from the main thread: Linux ties the server to the thread that started it.

    Args:
        bin_dir: Folder of other programs than the wheel's.
        extra: Further server settings.
        on_gone: Called with words when the server has ended again and again and is not started any more.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        bin_dir: Path | None = None,
        extra: Mapping[str, str] | None = None,
        on_gone: Callable[[str], None] | None = None,
    ) -> None:
        self._data_dir = data_dir.expanduser().resolve()
        self._data = self._data_dir / "postgres"
        self._log = self._data_dir / "postgres.log"
        self._bin_dir = bin_dir
        self._settings = {**SETTINGS, **(extra or {})}
        self._on_gone = on_gone
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._account = Account()
        self._bin = Path()
        self._socket_folder = Path()
        self._stopping = False
        self.failure: str | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def url(self) -> str:
        """How to reach our database."""
        return socket_url(str(self._socket_folder), PORT, USER, DATABASE)

    async def start(self, *, supervised: bool = True) -> str:
        """Make the data folder if need be, start the server, and return the URL of our database once it answers.

        Args:
            supervised: Start the server again should it end by itself.

        Raises:
            Misconfigured: In use by another lead-router, not writable, or PostgreSQL does not start; the message
                says which, and names the log.
        """
        self._stopping = False
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._take_lock()
            try:
                self._prepare()
                await self._run()
                await self._ensure_database()
            except BaseException:
                await self.stop()
                raise
        except OSError as error:
            msg = (
                f"cannot use the data folder {self._data_dir}: {error.strerror or error}"
                f"{f' ({error.filename})' if error.filename else ''}; set LEAD_ROUTER_DATA_DIR to a folder we may write to"
            )
            raise Misconfigured(msg) from error
        if supervised:
            self._watch = asyncio.create_task(self._supervise(), name="embedded PostgreSQL")
        return self.url

    async def stop(self) -> None:
        """Stop the server cleanly; by force after `STOP_LIMIT_S`. Safe to call twice."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._process is not None:
            process, self._process = self._process, None
            await _end(process)
        if self._socket_folder.name.startswith("lead-router-"):
            with contextlib.suppress(OSError):
                self._socket_folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def ready(self) -> str | None:
        """None while the server runs, else what is wrong."""
        if self.failure is not None:
            return self.failure
        return None if self.pid is not None else "the embedded PostgreSQL is starting again"

    async def _take_lock(self) -> None:
        path = self._data_dir / "postgres.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        loop = asyncio.get_running_loop()
        end = loop.time() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if loop.time() > end:
                    owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                    os.close(descriptor)
                    msg = (
                        f"{self._data_dir} is in use by another lead-router (process {owner or 'unknown'}); stop that one, "
                        "or set LEAD_ROUTER_DATA_DIR to another folder"
                    )
                    raise Misconfigured(msg, code="in_use") from None
                await asyncio.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def _prepare(self) -> None:
        self._account = pg_folder.account()
        self._bin = pg_folder.programs(self._bin_dir, self._data)
        if self._log.exists() and self._log.stat().st_size > LOG_MAX_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._log.touch(mode=0o600)
        if not (self._data / "PG_VERSION").exists():
            log.info("making the database", folder=str(self._data))
            pg_folder.make_data(self._data, self._bin, self._account, self._log)
        self._account.own(self._data)
        pg_folder.end_leftovers(self._data)
        self._socket_folder = pg_folder.socket_folder(self._data_dir, self._account)
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self._socket_folder / name).unlink(missing_ok=True)  # nobody is there: we hold the lock

    async def _run(self) -> None:
        """Start the server and wait until it says that it is ready."""
        settings = {**self._settings, "unix_socket_directories": f'"{self._socket_folder}"'}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = self._bin / "postgres"
        command = [str(program), "-D", str(self._data), "-p", str(PORT), *flags]
        with self._log.open("ab") as out:
            process = self._process = subprocess.Popen(  # noqa: ASYNC220 short, and must run in this very thread
                pg_folder.as_child(self._account, [program, self._data, self._socket_folder], command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._data,  # by which a later start finds it
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the server when we are done with it
            )
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_LIMIT_S
        while True:
            said = pg_folder.read_pid_file(self._data)
            if said is not None and said.pid == process.pid and said.ready:
                return
            if process.poll() is not None:
                raise Misconfigured(pg_folder.why("PostgreSQL does not start", self._log))
            if loop.time() > end:
                raise Misconfigured(pg_folder.why(f"PostgreSQL is not ready after {READY_LIMIT_S:g} s", self._log))
            await asyncio.sleep(POLL_S)

    async def _ensure_database(self) -> None:
        pg = await asyncpg.connect(socket_url(str(self._socket_folder), PORT, USER, "postgres"), timeout=30)
        try:
            if not await pg.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await pg.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await pg.close()

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        ends: deque[float] = deque(maxlen=RESTARTS_MAX)
        while not self._stopping:
            await asyncio.sleep(POLL_S * 4)
            if self._process is None or self._process.poll() is None:
                continue
            now = loop.time()
            log.error("PostgreSQL has ended by itself; starting it again", code=self._process.returncode)
            if len(ends) == RESTARTS_MAX and now - ends[0] < RESTARTS_WITHIN_S:
                self._give_up(pg_folder.why(f"PostgreSQL has ended {RESTARTS_MAX} times within a minute", self._log))
                return
            ends.append(now)
            try:
                await asyncio.to_thread(pg_folder.end_leftovers, self._data)
                await self._run()
            except Misconfigured as error:
                log.error("PostgreSQL did not start again", reason=error.message)
                await asyncio.sleep(1)
            except OSError as error:
                self._give_up(f"PostgreSQL cannot be started again: {error}")
                return

    def _give_up(self, words: str) -> None:
        self.failure = words
        log.error("no database any more", reason=words)
        if self._on_gone is not None:
            self._on_gone(words)


def running_url(data_dir: Path) -> str | None:
    """The URL of the embedded database that another lead-router runs in `data_dir`, or None."""
    said = None
    with contextlib.suppress(PermissionError):  # another user's folder: what opens it says so in words
        said = pg_folder.read_pid_file(data_dir.expanduser().resolve() / "postgres")
    if said is None or not said.ready or not said.socket_folder or not pg_folder.alive(said.pid):
        return None
    return socket_url(said.socket_folder, said.port, USER, DATABASE)


def made(data_dir: Path) -> bool:
    """Whether `data_dir` holds a database; also where it cannot be looked into, since what opens it says why."""
    with contextlib.suppress(PermissionError):
        return (data_dir.expanduser() / "postgres" / "PG_VERSION").exists()
    return True


async def _end(process: subprocess.Popen[bytes]) -> None:
    # SIGINT: roll back, write everything down, end. SIGQUIT: end, recover at the next start.
    for sign, limit_s in (
        (signal.SIGINT, STOP_LIMIT_S),
        (signal.SIGQUIT, QUIT_LIMIT_S),
        (signal.SIGKILL, QUIT_LIMIT_S),
    ):
        if process.poll() is None:
            process.send_signal(sign)
        end = asyncio.get_running_loop().time() + limit_s
        while asyncio.get_running_loop().time() < end:
            if process.poll() is not None:
                return
            await asyncio.sleep(POLL_S)
    log.error("PostgreSQL does not end", pid=process.pid)
