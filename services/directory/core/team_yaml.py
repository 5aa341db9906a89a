"""What does this team file say? Reads reps and pools; every problem comes with its line and column.

All or nothing: a team with a hole in it is worse than the team of yesterday.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from services.directory.core import fields
from services.directory.core.fields import WEIGHT_MAX, FieldError
from services.directory.core.people import Absence, Member, Pool, Rep

CHARACTERS_MAX = 500_000
REPS_MAX = 1000
DEPTH_MAX = 12  # a team file needs 6; PyYAML takes a minute for 5,000 open brackets
ABSENCES_MAX = 200
PROBLEMS_MAX = 100

_FIELDS: Final[dict[str, Callable[[str], Any]]] = {
    "name": fields.line,
    "title": fields.line,
    "email": fields.email,
    "timezone": fields.timezone,
    "hours": fields.hours,
    "country": fields.holiday_country,
    "capacity_per_day": fields.capacity,
    "capacity_open": fields.capacity,
    "manager": fields.identifier,
    "meeting_link": fields.link,
    "active": fields.yes_or_no,
}
_REP_KEYS: Final = ("id", *_FIELDS, "languages", "absences")


class TeamProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong in the file. Lines and columns count from 1."""

    line: int
    column: int
    path: str
    message: str
    hint: str


class TeamError(ValueError):
    """The file cannot be taken; `problems` says why, in the order of the file."""

    def __init__(self, problems: list[TeamProblem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"line {first.line}, column {first.column}: {first.path}: {first.message}; {first.hint}{more}")
        self.problems = problems


class RepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rep as the file has it: only the keys that it writes, so that the rest stays as it is."""

    id: str
    values: dict[str, Any]
    absences: tuple[Absence, ...] = ()


class TeamFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a team file holds."""

    reps: tuple[RepRow, ...] = ()
    pools: tuple[Pool, ...] = ()


def parse_team(text: str, known: Mapping[str, Rep]) -> TeamFile:
    """Read a team file.

    Args:
        text: YAML with `reps` and `pools`, at most 500,000 characters.
        known: Reps that are there already: a pool may name them.

    Raises:
        TeamError: With every problem found, at most 100.
    """
    reader = _Reader(known)
    team = reader.read(text)
    if reader.problems:
        raise TeamError(sorted(reader.problems, key=lambda one: (one.line, one.column))[:PROBLEMS_MAX])
    return team


class _Reader:
    def __init__(self, known: Mapping[str, Rep]) -> None:
        self.known = known
        self.problems: list[TeamProblem] = []

    def read(self, text: str) -> TeamFile:
        if len(text) > CHARACTERS_MAX:
            self._problem(None, "", f"the file has {len(text):,} characters", f"use at most {CHARACTERS_MAX:,}")
            return TeamFile()
        root: Node | None = None
        try:
            if self._plain_yaml(text):
                root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark, what = (
                getattr(error, "problem_mark", None),
                getattr(error, "problem", None) or "unreadable characters",
            )
            self._problem(mark, "", f"this is no YAML: {what}", "look at the indentation and the quotes there")
        if self.problems:
            return TeamFile()
        if root is None:
            self._problem(None, "", "the file is empty", "write reps: and pools:")
            return TeamFile()
        top = self._mapping(root, "", ("reps", "pools"))
        reps = [
            rep
            for rep in (self._rep(node, path) for node, path in self._items(top.get("reps"), "reps"))
            if rep is not None
        ]
        if len(reps) > REPS_MAX:
            self._problem(root, "reps", f"there are {len(reps)} reps", f"use at most {REPS_MAX}")
        active = {rep.id: rep.active for rep in self.known.values()}
        active.update((rep.id, rep.values.get("active", active.get(rep.id, True))) for rep in reps)
        self._check_reps(top.get("reps"), reps, active)
        pools = [pool for pool in self._pools(top.get("pools"), active) if pool is not None]
        return TeamFile(reps=tuple(reps), pools=tuple(pools))

    def _plain_yaml(self, text: str) -> bool:
        """Reads event by event, so that a bomb stops at its first layers."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:
                self._problem(
                    event, "", f"the file is nested more than {DEPTH_MAX} deep", "a team needs reps and pools only"
                )
                return False
            if isinstance(event, yaml.AliasEvent):
                self._problem(event, "", "the file uses aliases (*name)", "write each value out")
                return False
        return True

    def _rep(self, node: Node, path: str) -> RepRow | None:
        keys = self._mapping(node, path, _REP_KEYS)
        if "id" not in keys:
            self._problem(node, path, "the rep has no id", "write id: anna")
            return None
        rep_id = self._value(keys["id"], f"{path}.id", fields.identifier)
        values = {key: self._value(keys[key], f"{path}.{key}", read) for key, read in _FIELDS.items() if key in keys}
        if "languages" in keys:
            found = [
                self._value(one, where, fields.language)
                for one, where in self._items(keys["languages"], f"{path}.languages")
            ]
            values["languages"] = tuple(found)
        before = self.known.get(rep_id) if rep_id else None
        rep_zone = values.get("timezone") or (before.timezone if before else "UTC")
        absences = [
            self._absence(one, where, rep_zone) for one, where in self._items(keys.get("absences"), f"{path}.absences")
        ]
        if len(absences) > ABSENCES_MAX:
            self._problem(
                node, f"{path}.absences", f"there are {len(absences)} absences", f"use at most {ABSENCES_MAX}"
            )
        return (
            None if rep_id is None else RepRow(id=rep_id, values=values, absences=tuple(one for one in absences if one))
        )

    def _absence(self, node: Node, path: str, rep_zone: str) -> Absence | None:
        keys = self._mapping(node, path, ("from", "until", "note"))
        if "from" not in keys or "until" not in keys:
            if isinstance(node, MappingNode):
                self._problem(
                    node, path, "an absence needs from and until", "write {from: 2026-12-21, until: 2027-01-03}"
                )
            return None
        start, until = (self._value(keys[key], f"{path}.{key}", str) for key in ("from", "until"))
        note = self._value(keys["note"], f"{path}.note", fields.line) if "note" in keys else ""
        if start is None or until is None or note is None:
            return None
        try:
            return fields.absence(start, until, note, rep_zone)
        except FieldError as error:
            self._problem(node, path, error.message, error.hint)
            return None

    def _check_reps(self, node: Node | None, reps: list[RepRow], active: Mapping[str, bool]) -> None:
        seen: set[str] = set()
        items = list(self._items(node, "reps", quiet=True))
        where = {rep.id: item for rep, item in zip(reps, items, strict=False)}
        for rep in reps:
            at, path = where.get(rep.id, (node, "reps"))
            if rep.id in seen:
                self._problem(at, path, f"there are two reps {rep.id}", "keep one")
            seen.add(rep.id)
            manager = rep.values.get("manager")
            if manager is not None and (manager not in active or manager == rep.id):
                what = "is no rep" if manager != rep.id else "cannot be their own manager"
                self._problem(at, f"{path}.manager", f"{manager} {what}", "write the id of another rep")

    def _pools(self, node: Node | None, active: Mapping[str, bool]) -> Iterator[Pool | None]:
        seen: set[str] = set()
        for one, path in self._items(node, "pools"):
            keys = self._mapping(one, path, ("name", "members"))
            if "name" not in keys or "members" not in keys:
                if isinstance(one, MappingNode):
                    self._problem(one, path, "a pool needs a name and members", "write {name: sdr, members: {anna: 1}}")
                continue
            name = self._value(keys["name"], f"{path}.name", fields.identifier)
            if name is not None and name in seen:
                self._problem(keys["name"], f"{path}.name", f"there are two pools {name}", "keep one")
            members = self._members(keys["members"], f"{path}.members", active)
            if name is not None:
                seen.add(name)
                yield Pool(name=name, members=tuple(members))

    def _members(self, node: Node, path: str, active: Mapping[str, bool]) -> list[Member]:
        if not isinstance(node, MappingNode):
            self._problem(node, path, "members are no list of rep: weight", "write members: {anna: 2, ben: 1}")
            return []
        members: list[Member] = []
        for key, value in node.value:
            rep = self._value(key, path, fields.identifier)
            weight = self._value(value, f"{path}.{rep}", lambda text: fields.whole(text, 1, WEIGHT_MAX))
            if rep is None or weight is None:
                continue
            if not active.get(rep, False):
                what = "has left" if rep in active else "is no rep"
                self._problem(
                    key, path, f"{rep} {what}", "a pool holds active reps; take the line out or choose somebody else"
                )
            elif any(member.rep == rep for member in members):
                self._problem(key, path, f"{rep} stands there twice", "keep one, with the weights added")
            else:
                members.append(Member(rep=rep, weight=weight))
        if not node.value:
            self._problem(node, path, "the pool is empty", "a pool needs at least one rep")
        return members

    # -- what the nodes hold

    def _mapping(self, node: Node, path: str, keys: tuple[str, ...]) -> dict[str, Node]:
        if not isinstance(node, MappingNode):
            self._problem(node, path, "names and values are expected here", f"write {keys[0]}: …")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, ScalarNode) else ""
            if name not in keys:
                self._problem(key, f"{path}.{name}".strip("."), f"{name!r} is not known here", f"use {', '.join(keys)}")
            elif name in found:
                self._problem(key, f"{path}.{name}".strip("."), f"{name} stands there twice", "keep one")
            else:
                found[name] = value
        return found

    def _items(self, node: Node | None, path: str, *, quiet: bool = False) -> Iterator[tuple[Node, str]]:
        if node is None or (isinstance(node, ScalarNode) and node.value in ("", "null", "~")):
            return
        if isinstance(node, SequenceNode):
            yield from ((one, f"{path}[{index}]") for index, one in enumerate(node.value))
        elif not quiet:
            self._problem(node, path, "a list is expected here", "begin each item with a dash")

    def _value(self, node: Node, path: str, read: Callable[[str], Any]) -> Any:
        if not isinstance(node, ScalarNode):
            self._problem(node, path, "one value is expected here", "write it on the same line")
            return None
        plain = node.style is None and node.value in ("null", "~")
        try:
            return read("" if plain else str(node.value))
        except FieldError as error:
            self._problem(node, path, error.message, error.hint)
            return None

    def _problem(self, at: Any, path: str, message: str, hint: str) -> None:
        mark = getattr(at, "start_mark", at)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        self.problems.append(TeamProblem(line=line, column=column, path=path or "file", message=message, hint=hint))
