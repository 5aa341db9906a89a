"""YAML text to plain data, with the line and column of every part.

Scalars are YAML 1.2 (`NO` is Norway, `on` is a word). Anchors, aliases, tags and duplicate keys are refused: a policy
is read by people, top to bottom.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import yaml

from services.policy.core.problems import PolicyError, Problem

Loc = tuple[str | int, ...]

MAX_BYTES: Final = 262_144  # 20 times the example; a policy that people can still read
MAX_DEPTH: Final = 16

_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: Final[dict[str, Any]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_MAX_DIGITS: Final = 18  # an integer of more digits is no number of points, days or people


class Document:
    """Plain data of a policy file and where each part of it stands."""

    def __init__(self, data: Any, walk: "_Walk", text: str) -> None:
        self.data = data
        self._places: Mapping[Loc, tuple[int, int]] = walk.places
        self._keys: Mapping[Loc, tuple[int, int]] = walk.keys
        self._styles: Mapping[Loc, str] = walk.styles
        self._lines = text.splitlines()

    def place(self, loc: Sequence[str | int], *, key: bool = False) -> tuple[int, int]:
        """Line and column of the part at `loc`, or of the nearest part around it.

        Args:
            key: The place of the key, not of its value.
        """
        at = tuple(loc)
        while at:
            found = (self._keys.get(at) if key else None) or self._places.get(at)
            if found:
                return found
            at = at[:-1]
        return self._places.get((), (1, 1))

    def problem(self, loc: Sequence[str | int], message: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem at `loc`."""
        line, column = self.place(loc, key=key)
        return Problem(line=line, column=column, path=".".join(str(p) for p in loc), message=message, hint=hint)

    def condition_place(self, loc: Sequence[str | int], line: int, column: int) -> tuple[int, int]:
        """Line and column in the file of a place inside a condition.

        Exact for plain and quoted text on one line and for blocks (`|`, `>`); else the beginning of the value.
        """
        start_line, start_column = self.place(loc)
        style = self._styles.get(tuple(loc), "")
        if style in ("|", ">"):
            at = start_line + line
            text = self._lines[at - 1] if at <= len(self._lines) else ""
            if style == ">":  # lines are joined: the offset has to be walked
                return self._folded(start_line, column)
            return at, len(text) - len(text.lstrip(" ")) + column
        return start_line, start_column + column - 1 + (1 if style else 0)

    def _folded(self, start_line: int, column: int) -> tuple[int, int]:
        left = column
        for number, text in enumerate(self._lines[start_line:], start=start_line + 1):
            length = len(text.strip(" ")) + 1
            if left <= length:
                return number, len(text) - len(text.lstrip(" ")) + left
            left -= length
        return start_line, 1


def read_document(text: str) -> Document:
    """Read one YAML document.

    Raises:
        PolicyError: It is too long, too deep, not YAML, or uses what is refused here.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise PolicyError([Problem(line=0, column=0, path="", message=f"the file is longer than {MAX_BYTES:,} bytes")])
    walk = _Walk(text)
    try:
        data = walk.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        words = ", ".join(w for w in (error.context, error.problem) if w)
        hint = "check indentation, quotes and colons near this place"
        raise PolicyError(
            [Problem(line=line, column=column, path="", message=f"not YAML: {words}", hint=hint)]
        ) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = "a character that YAML does not allow"
        raise PolicyError([Problem(line=line, column=column, path="", message=message)]) from error
    if walk.problems:
        raise PolicyError(walk.problems)
    return Document(data, walk, text)


class _Walk:
    """One walk over the events of the parser: values, places, and everything that is refused.

    No node tree is composed: aliases are refused, so nothing has to be resolved, and the depth is known before it is used.
    """

    def __init__(self, text: str) -> None:
        self.places: dict[Loc, tuple[int, int]] = {}
        self.keys: dict[Loc, tuple[int, int]] = {}
        self.styles: dict[Loc, str] = {}
        self.problems: list[Problem] = []
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._depth = 0

    def document(self) -> Any:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise PolicyError([Problem(line=1, column=1, path="", message="the file is empty")])
        data = self._value(next(self._events), ())
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._stop(after, "a second document begins here", "keep one policy per file: remove the line ---")
        return data

    def _value(self, event: yaml.Event, loc: Loc) -> Any:
        self._check(event)
        self.places[loc] = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            self.styles[loc] = event.style or ""
            return event.value if event.style else _scalar(event.value)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        made = self._list(loc) if isinstance(event, yaml.SequenceStartEvent) else self._group(loc)
        self._depth -= 1
        return made

    def _list(self, loc: Loc) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*loc, len(found))))
        return found

    def _group(self, loc: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            self._check(key)
            if not isinstance(key, yaml.ScalarEvent):
                self._stop(key, "a key must be a plain word")
            at = (*loc, key.value)
            if key.value in found:
                line, column = _place(key)
                message = f'the key "{key.value}" stands twice; first in line {self.keys[at][0]}'
                path = ".".join(str(p) for p in at)
                self.problems.append(Problem(line=line, column=column, path=path, message=message))
            self.keys[at] = _place(key)
            found[key.value] = self._value(next(self._events), at)
        return found

    def _check(self, event: yaml.Event) -> None:
        """Refuse what people cannot read top to bottom."""
        if isinstance(event, yaml.AliasEvent):
            self._stop(event, f"the alias *{event.anchor} is not allowed", "write the value out")
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._stop(event, f"the anchor &{event.anchor} is not allowed", "write the value out where it is needed")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag:
            self._stop(event, f"the tag {event.tag} is not allowed", "remove it; put text in quotes")

    def _stop(self, event: yaml.Event, message: str, hint: str = "") -> NoReturn:
        line, column = _place(event)
        raise PolicyError([*self.problems, Problem(line=line, column=column, path="", message=message, hint=hint)])


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _scalar(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text) and len(text) <= _MAX_DIGITS:
        return int(text)
    if _BASED.match(text) and len(text) <= _MAX_DIGITS:
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    return text
