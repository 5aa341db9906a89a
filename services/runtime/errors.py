"""The errors of Lead Router.

LeadRouterError
├── BadMessage      this input never will succeed: answer 4xx or write a dead letter
├── Unavailable     something we need is away: try again after `retry_after_s`
├── Refused         the far side said no, for good
├── Misconfigured   stop at start and say how to mend it
├── Conflict        what was read has changed meanwhile: read again, do it again
└── Fenced          another process owns the partition now: nothing was written

Adapters translate library errors at their border; anything else is a bug: do not commit, stop the process.
"""

from typing import Any


class LeadRouterError(Exception):
    """Root of the tree. `code` is a stable snake_case word: metric label, dead-letter reason, runbook heading."""

    def __init__(self, message: str, *, code: str = "", detail: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.detail = detail

    default_code = "error"


class BadMessage(LeadRouterError):
    """Input that never will succeed."""

    default_code = "bad_message"


class Unavailable(LeadRouterError):
    """Something we need does not answer. `retry_after_s` in seconds, greater than 0."""

    default_code = "unavailable"

    def __init__(self, message: str, *, code: str = "", detail: Any = None, retry_after_s: float = 5.0) -> None:
        super().__init__(message, code=code, detail=detail)
        self.retry_after_s = retry_after_s


class Refused(LeadRouterError):
    """The far side, or a rule, said no and will say no again."""

    default_code = "refused"


class Misconfigured(LeadRouterError):
    """A setting is wrong. The message says which, and how to mend it."""

    default_code = "misconfigured"


class Conflict(LeadRouterError):
    """State moved under us; nothing was written."""

    default_code = "conflict"


class Fenced(LeadRouterError):
    """The lease of a partition has moved on; nothing was written. `parts` lists the partitions lost."""

    default_code = "fenced"

    def __init__(self, message: str, *, parts: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.parts = parts
