"""Becomes PostgreSQL: a small program that drops root, ties itself to its parent, and turns into the server.

Run by `embedded.py` as `python -I -S pg_child.py PARENT UID GID PATH… -- COMMAND…`; standard library only. UID and GID are
`-1` when we are not root. Each PATH must be reachable for the server.

PostgreSQL refuses to run as root, and an unprivileged user may not pass through folders above the data folder that
belong to root with mode 0700 (`mkdtemp`, `/root`). We never change the permissions of folders that are not ours.
Instead the server keeps one capability, to pass through and read (CAP_DAC_READ_SEARCH, else CAP_DAC_OVERRIDE), as an
ambient one, and only if it cannot do without.

It is not a `preexec_fn`: code between fork and exec may deadlock when other threads hold locks.
"""

import ctypes
import os
import signal
import sys

EXIT_UNREACHABLE = 78  # sysexits.h EX_CONFIG

# linux/prctl.h, linux/securebits.h, linux/capability.h
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
# Capabilities stay when the user changes (we cut them down ourselves), and access(2), by which PostgreSQL looks at its
# own program, sees them too.
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_VERSION_3 = 0x20080522


class _Head(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _set_capabilities(libc: ctypes.CDLL, effective: int, rest: int) -> bool:
    head = _Head(CAP_VERSION_3, 0)
    sets = (_Sets * 2)(_Sets(effective, rest, rest), _Sets(0, 0, 0))
    return bool(libc.capset(ctypes.byref(head), sets) == 0)


def _permitted(libc: ctypes.CDLL) -> int:
    head = _Head(CAP_VERSION_3, 0)
    sets = (_Sets * 2)()
    return int(sets[0].permitted) if libc.capget(ctypes.byref(head), sets) == 0 else 0


def _unreachable(paths: list[str]) -> str | None:
    for path in paths:
        if not os.access(path, os.R_OK | os.X_OK):
            return path
    return None


def _become(libc: ctypes.CDLL | None, uid: int, gid: int, paths: list[str]) -> str | None:
    """Drop root; the first path that cannot be reached afterwards, or None."""
    if libc is None:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return _unreachable(paths)
    have = _permitted(libc)
    libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    cap = next((1 << cap for cap in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if have & (1 << cap)), 0)
    _set_capabilities(libc, 0, cap)
    missing = _unreachable(paths)
    if missing is None or not cap:
        _set_capabilities(libc, 0, 0)
        return missing
    _set_capabilities(libc, cap, cap)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap.bit_length() - 1, 0, 0)
    return _unreachable(paths)


def main() -> None:
    """Become the command that stands after `--`."""
    split = sys.argv.index("--")
    parent, uid, gid = (int(word) for word in sys.argv[1:4])
    paths, command = sys.argv[4:split], sys.argv[split + 1 :]
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if uid >= 0:
        missing = _become(libc, uid, gid, paths)
        if missing is not None:
            sys.stderr.write(f"unreachable: {missing}\n")
            sys.exit(EXIT_UNREACHABLE)
    os.umask(0o077)
    if libc is not None:
        # After the change of user, which clears it. SIGQUIT: PostgreSQL ends within seconds whatever it was doing, and
        # recovers from its log at the next start.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)  # it died before we were tied to it
    os.execv(command[0], command)  # noqa: S606 this is what we are for


if __name__ == "__main__":
    main()
