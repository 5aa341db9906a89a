"""YAML text to plain data, with the line and column of every part.

Scalars are YAML 1.2 (`NO` is Norway, `on` is a word). Anchors, aliases, tags and duplicate keys are refused: a policy
is read by people, top to bottom.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
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
    if node is None:
        raise PolicyError([Problem(line=1, column=1, path="", message="the file is empty")])
    walk = _Walk()
    data = walk.value(node, ())
    if walk.problems:
        raise PolicyError(walk.problems)
    return Document(data, walk, text)


def _check_events(text: str) -> None:
    """Refuse what `compose` would resolve, or recurse into, before it does."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = hint = ""
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                message, hint = "a second document begins here", "keep one policy per file: remove the line ---"
        elif isinstance(event, yaml.AliasEvent):
            message, hint = f"the alias *{event.anchor} is not allowed", "write the value out"
        elif isinstance(event, yaml.NodeEvent) and event.anchor:
            message, hint = f"the anchor &{event.anchor} is not allowed", "write the value out where it is needed"
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            message, hint = f"the tag {event.tag} is not allowed", "remove it; put text in quotes"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                message = f"nested deeper than {MAX_DEPTH} levels"
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if message:
            raise PolicyError([Problem(line=line, column=column, path="", message=message, hint=hint)])


class _Walk:
    """One walk over the node tree: values, places, duplicate keys."""

    def __init__(self) -> None:
        self.places: dict[Loc, tuple[int, int]] = {}
        self.keys: dict[Loc, tuple[int, int]] = {}
        self.styles: dict[Loc, str] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.places[loc] = _place(node)
        if isinstance(node, yaml.ScalarNode):
            self.styles[loc] = node.style or ""
            return node.value if node.style else _scalar(node.value)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        found: dict[str, Any] = {}
        for key, item in node.value:
            line, column = _place(key)
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(line, column, loc, "a key must be a plain word")
                continue
            name = key.value
            at = (*loc, name)
            if name in found:
                first = self.keys[at][0]
                self._refuse(line, column, at, f'the key "{name}" stands twice; first in line {first}')
                continue
            self.keys[at] = (line, column)
            found[name] = self.value(item, at)
        return found

    def _refuse(self, line: int, column: int, loc: Loc, message: str) -> None:
        path = ".".join(str(p) for p in loc)
        self.problems.append(Problem(line=line, column=column, path=path, message=message))


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


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
