"""What is this process called, and is the one of that name still there?

A name holds host, process id, a mark of the machine's boot and process namespace, and randomness: no other process has
or had it. With the same mark as ours, the process table says at once whether an owner is gone, so that a worker that was
killed and started again need not wait for its own lease to run out. Elsewhere only the lease tells.
"""

import hashlib
import os
import secrets
import socket
from functools import cache
from pathlib import Path
from typing import Final

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = Path("/proc/self/ns/pid")
NO_MARK: Final = "-"


@cache
def mark() -> str:
    """Equal for two processes only if process ids mean the same to both; `-` where that cannot be known."""
    try:
        told = f"{BOOT.read_text()}{NAMESPACE.readlink()}"
    except OSError:
        return NO_MARK  # not Linux: the lease must run out
    return hashlib.blake2b(told.encode(), digest_size=5).hexdigest()


def process_owner() -> str:
    """A name for this process, new at every call."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{mark()}:{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether we know for certain that the process which called itself `owner` has ended."""
    _, _, rest = owner.partition(":")
    parts = rest.split(":")
    if len(parts) != 3 or parts[1] == NO_MARK or parts[1] != mark() or not parts[0].isdigit():
        return False
    # Our own id under another name: the process before us, in a container that was started again in place, cannot be
    # told from a second name of ours (tests); the lease decides.
    try:
        os.kill(int(parts[0]), 0)  # sends nothing; unlike /proc it sees processes of other users too
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False
