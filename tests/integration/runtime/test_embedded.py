"""The embedded PostgreSQL under everything that happens to it: kills, two starts, odd paths, root."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from services.runtime import embedded, pg_folder
from services.runtime.embedded import EmbeddedPostgres, running_url
from services.runtime.errors import Misconfigured
from services.runtime.pg_folder import Account

ROOT = Path(__file__).parents[3]
# Every server of these tests is small: there may be several at once.
SMALL = {"shared_buffers": "16MB", "fsync": "off"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder as tools make it: mode 0700, ours; nobody else may pass through."""
    made = Path(tempfile.mkdtemp(prefix="embedded-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class App:
    """The app of tests/support/embedded_app.py, in a session of its own as a service runner would start it."""

    def __init__(self, folder: Path, python: str = sys.executable, **options: object) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "tests.support.embedded_app", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]  # user= for one test
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().split(maxsplit=2)

    @property
    def server(self) -> int:
        """The server's process id. Never 0: to kill that would end ourselves."""
        assert self.said[:1] == ["ready"], self.said
        return int(self.said[1])

    @property
    def rows(self) -> int:
        assert self.said[:1] == ["ready"], self.said
        return int(self.said[2])

    def kill(self) -> None:
        """kill -9 of the app's whole process group, as a harness does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.close()

    def terminate(self) -> int:
        self.process.terminate()
        return self.close()

    def close(self) -> int:
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def others_may_enter(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def as_nobody() -> dict[str, object]:
    """How to start the app as `nobody`, who needs a Python that is not in somebody's home."""
    if not others_may_enter(ROOT / "tests"):
        pytest.skip("this checkout lies below a folder that only root may enter")
    pythons = [sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"]
    python = next((path for path in pythons if Path(path).exists() and others_may_enter(Path(path))), None)
    if python is None:
        pytest.skip("there is no Python here that another user may run")
    packages = str(Path(asyncpg.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
    return {"python": python, "env": env, "user": "nobody", "group": "nogroup", "extra_groups": []}


def gone(pid: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]:
            return True
        time.sleep(0.02)
    return False


def test_a_clean_stop_ends_the_server_and_keeps_the_data(folder: Path) -> None:
    first = App(folder)
    assert first.rows == 1
    assert first.terminate() == 0
    assert gone(first.server, 1)
    began = time.monotonic()
    second = App(folder)
    assert second.rows == 2
    assert time.monotonic() - began < 8
    assert second.terminate() == 0


def test_kill_9_of_the_app_ends_the_server_too_and_loses_nothing(folder: Path) -> None:
    first = App(folder)
    first.kill()
    second = App(folder)  # at once, while the old server may still be going
    assert second.rows == 2
    assert gone(first.server, 10)
    assert second.terminate() == 0


async def test_kill_9_of_the_server_starts_it_again(folder: Path) -> None:
    server = EmbeddedPostgres(folder, extra=SMALL)
    url = await server.start()
    try:
        pg = await asyncpg.connect(url)
        await pg.execute("CREATE TABLE kept (n int)")
        before = server.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    again = await asyncpg.connect(url, timeout=5)
                    break
                await asyncio.sleep(0.05)
        assert await again.fetchval("SELECT count(*) FROM kept") == 0
        assert server.pid not in (None, before)
        assert await server.ready() is None
        await again.close()
        pg.terminate()
    finally:
        await server.stop()


async def test_a_server_that_always_ends_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "RESTARTS_MAX", 1)
    words: list[str] = []
    server = EmbeddedPostgres(folder, extra=SMALL, on_gone=words.append)
    await server.start()
    try:
        async with asyncio.timeout(30):
            while not words:
                if server.pid is not None:
                    os.kill(server.pid, signal.SIGKILL)
                await asyncio.sleep(0.3)
        assert await server.ready() == words[0]
        assert "postgres.log" in words[0]
    finally:
        await server.stop()


def test_kill_9_of_both_starts_again(folder: Path) -> None:
    first = App(folder)
    os.kill(first.server, signal.SIGKILL)
    first.kill()
    second = App(folder)
    assert second.rows == 2
    assert second.terminate() == 0


def test_a_second_start_in_the_same_folder_is_refused(folder: Path) -> None:
    first = App(folder)
    second = App(folder)
    assert second.said[:2] == ["misconfigured", "in_use"]
    assert "in use by another lead-router" in second.said[2]
    assert str(first.process.pid) in second.said[2]
    assert second.close() == 3
    assert first.terminate() == 0


def test_another_process_finds_the_running_database(folder: Path) -> None:
    assert running_url(folder) is None
    app = App(folder)
    url = running_url(folder)
    assert url is not None

    async def rows() -> int:
        pg = await asyncpg.connect(url)
        try:
            return int(await pg.fetchval("SELECT count(*) FROM kept"))
        finally:
            await pg.close()

    assert asyncio.run(rows()) == 1
    assert app.terminate() == 0
    assert running_url(folder) is None


@pytest.mark.parametrize(
    "below",
    ["with a space", "x" * 120 + "/" + "y" * 100, "komma, 100%/päiväkirja"],
    ids=["space", "long", "odd letters"],
)
async def test_any_path_will_do(folder: Path, below: str) -> None:
    server = EmbeddedPostgres(folder / below, extra=SMALL)
    url = await server.start()
    try:
        pg = await asyncpg.connect(url)
        assert await pg.fetchval("SELECT lower('ÄÖ')") == "äö"
        await pg.close()
    finally:
        await server.stop()


async def test_a_pid_file_that_names_a_stranger_is_put_away(folder: Path) -> None:
    server = EmbeddedPostgres(folder, extra=SMALL)
    await server.start()
    await server.stop()
    # A machine that lost power, and a number that now belongs to somebody else: here, to us.
    data = folder / "postgres"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1\n5432\n{folder}\n\n 1 1\nready\n")
    assert await server.start()
    await server.stop()


async def test_a_half_made_data_folder_is_made_anew(folder: Path) -> None:
    (folder / "postgres.new" / "base").mkdir(parents=True)
    server = EmbeddedPostgres(folder, extra=SMALL)
    assert await server.start()
    await server.stop()


async def test_a_folder_that_cannot_be_made_is_said_plainly(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_DATA_DIR"):
        await EmbeddedPostgres(folder / "file" / "data").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
def test_an_unprivileged_user_needs_no_more_than_a_folder_of_its_own(folder: Path) -> None:
    options = as_nobody()
    shutil.chown(folder, "nobody")
    app = App(folder, **options)
    assert app.rows == 1
    assert Path(f"/proc/{app.server}").stat().st_uid == folder.stat().st_uid
    assert app.terminate() == 0
    locked = folder / "locked"
    locked.mkdir(mode=0o755)
    refused = App(locked / "data", **options)
    assert refused.said[0] == "misconfigured"
    assert "Permission denied" in refused.said[2]
    assert refused.close() == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="about being root")
async def test_root_runs_it_as_somebody_else_and_changes_no_folder_above(folder: Path) -> None:
    above = folder / "locked"
    above.mkdir(mode=0o700)
    server = EmbeddedPostgres(above / "data", extra=SMALL)
    await server.start()
    try:
        assert server.pid is not None
        status = Path(f"/proc/{server.pid}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert "0" not in uids
        for mine in (folder, above):
            assert (mine.stat().st_mode & 0o777, mine.stat().st_uid) == (0o700, 0)
        held = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
        assert int(held, 16) in (1 << 1, 1 << 2)  # only to pass through and read
    finally:
        await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="about being root")
async def test_root_keeps_no_capability_where_none_is_needed(folder: Path) -> None:
    if not others_may_enter(Path(asyncpg.__file__)):
        pytest.skip("this checkout lies below a folder that only root may enter")
    folder.chmod(0o711)
    (folder / "data").mkdir(mode=0o711)
    server = EmbeddedPostgres(folder / "data", extra=SMALL)
    await server.start()
    try:
        status = Path(f"/proc/{server.pid}/status").read_text()
        held = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
        assert int(held, 16) == 0
    finally:
        await server.stop()


async def test_a_server_that_does_not_start_names_its_log(folder: Path) -> None:
    server = EmbeddedPostgres(folder, extra={"shared_buffers": "not a size"})
    with pytest.raises(Misconfigured, match=r"postgres\.log.*shared_buffers"):
        await server.start()
    again = EmbeddedPostgres(folder, extra=SMALL)  # the lock is free again
    assert await again.start()
    await again.stop()


async def test_two_servers_of_one_process_do_not_share_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.2)
    server = EmbeddedPostgres(folder, extra=SMALL)
    await server.start()
    with pytest.raises(Misconfigured, match="in use by another lead-router") as caught:
        await EmbeddedPostgres(folder, extra=SMALL).start()
    assert caught.value.code == "in_use"
    await server.stop()
    await server.stop()  # twice is fine


async def test_a_server_left_behind_is_ended_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pg_folder, "LEFTOVER_LIMIT_S", 1.0)
    first = EmbeddedPostgres(folder, extra=SMALL)
    await first.start(supervised=False)
    left = first.pid
    assert left is not None
    # As on a system that cannot tie a child to its parent: we are gone, it is not.
    assert first._lock is not None
    os.close(first._lock)
    first._lock = None
    second = EmbeddedPostgres(folder, extra=SMALL)
    await second.start()
    assert second.pid not in (None, left)
    assert first.pid is None
    await second.stop()
    await first.stop()


async def test_a_stop_that_hangs_becomes_a_kill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_LIMIT_S", 0.3)
    monkeypatch.setattr(embedded, "QUIT_LIMIT_S", 0.3)
    server = EmbeddedPostgres(folder, extra=SMALL)
    await server.start()
    assert server.pid is not None
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    await server.stop()
    assert gone(pid, 1)


def test_a_socket_folder_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    long = folder / ("x" * 120)
    made = pg_folder.socket_folder(long, Account())
    assert made.parent == folder
    assert pg_folder.socket_folder(long, Account()) == made
    made.rmdir()
    made.symlink_to(folder)
    with pytest.raises(Misconfigured, match="belongs to somebody else"):
        pg_folder.socket_folder(long, Account())


def test_what_cannot_be_reached_is_explained(folder: Path) -> None:
    (folder / "log").write_text("LOG: x\nunreachable: /a/b\n")
    assert "cannot reach /a/b" in pg_folder.why("it does not start", folder / "log")
    assert "ends with: nothing" in pg_folder.why("it does not start", folder / "none")


def test_root_without_anybody_to_become_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert pg_folder.account() == Account()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pg_folder, "UNPRIVILEGED", ("no-such-user-here",))
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_DATABASE_URL"):
        pg_folder.account()
