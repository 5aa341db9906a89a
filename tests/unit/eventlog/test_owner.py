"""Names of processes: unique, and gone only when that is certain."""

import os
import subprocess
import sys

from services.eventlog.owner import is_gone, mark, process_owner


def test_names_are_never_given_twice() -> None:
    assert len({process_owner() for _ in range(100)}) == 100


def test_a_process_that_lives_is_not_gone_and_one_that_has_ended_is() -> None:
    assert not is_gone(process_owner())
    code = "from services.eventlog.owner import process_owner; print(process_owner())"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert is_gone(ended) == (mark() != "-")


def test_what_is_not_certain_is_not_gone() -> None:
    never = 2**22 + 7
    assert not is_gone(f"host:{never}:otherboot00:abcd"), "another machine or container"
    assert not is_gone(f"host:{never}:-:abcd"), "a system that cannot tell"
    for odd in ("one", "", "a:b", "host:notanumber:x:y", f"h:{os.getpid()}"):
        assert not is_gone(odd)
