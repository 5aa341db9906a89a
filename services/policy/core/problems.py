"""What is wrong with a policy, and where."""

from collections.abc import Sequence
from difflib import get_close_matches

import msgspec
from typing_extensions import override


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to mend in the file. `line` and `column` count from 1; 0 means the file as a whole.

    Attributes:
        path: Where in the document, as `segments.0.when`; empty for the file as a whole.
        message: What is wrong.
        hint: How to mend it; empty when the message says it all.
    """

    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    @override
    def __str__(self) -> str:
        """The problem as one line for a terminal."""
        where = f"line {self.line}, column {self.column}: " if self.line else ""
        path = f"{self.path}: " if self.path else ""
        return f"{where}{path}{self.message}" + (f" ({self.hint})" if self.hint else "")


class PolicyError(ValueError):
    """The policy cannot be used. `problems` lists every one that was found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.line, p.column, p.path, p.message))
        super().__init__("\n".join(str(p) for p in self.problems))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`did you mean "x"?` for the nearest known word, or an empty string when none is near."""
    near = [k for k in known if len(word) > 2 and k.startswith(word)] or get_close_matches(word, known, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""
