"""Every code that Lead Router can show to people, read from its source: errors, dead letters, reasons, metrics.

There is no registry on purpose: a code stands where it arises. So this reads the syntax trees, in every form in which the
code base writes one. A place whose code is made up at run time must be named in `MADE`; a test demands it.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = ROOT / "services"
CODE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z")
KEYWORDS: Final = {"code", "reason"}
# Calls that take a code by place: (which place, the folder in which the name means this).
PLACES: Final[dict[str, tuple[int, str]]] = {
    "BadItem": (0, "ingest"),
    "BadBody": (0, "ingest"),
    "problem": (1, "ingest"),
    "Dead": (0, "scoring"),
    "verdict_code": (1, "scoring"),
    "Availability": (1, "directory"),
    "Skip": (0, "notify"),
    "GaveUp": (0, "notify"),
    "_skipped": (1, "notify"),
    "_nobody": (1, "router"),
    "_taken": (1, "router"),
    "ApiError": (1, ""),
    "answer": (1, ""),
    "error_body": (0, ""),
}
# `code=` and `reason=` of these mean something else: a rep's answer, a number of a signal, a column.
OTHERS: Final = {
    "Option", "LeadAnswer", "LeadOutcome", "SignalRule", "OutcomeRow", "list_letters", "replay_many", "info", "warning", "error",
}  # fmt: skip
# Tables of codes, and where in them the codes stand.
TABLES: Final = {
    "STATUS_OF_CODE": "keys",
    "CODE_OF_STATUS": "values",
    "_CODES": "values",
    "_WORDS": "keys",
    "REASONS": "items",
}
TABLE_FILES: Final = {
    "_WORDS": "scoring/core/read.py",
    "_CODES": "policy/core/explain.py",
    "REASONS": "scoring/core/actor.py",
}
# What is put together at run time: file and expression to the codes that can come of it.
MADE: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("router/commands/effects.py", "f'sla_{timer.kind}'"): ("sla_remind", "sla_escalate", "sla_reassign"),
    ("router/handler/intake.py", "cause.signal.replace('.', '_')"): ("deal_won", "deal_lost"),
    ("router/commands/answers.py", "asked.command"): ("won", "lost"),
    ("directory/core/match.py", "f'{part}_{state}'"): tuple(
        f"{part}_{state}" for part in ("owner", "member", "manager") for state in ("unknown", "inactive")
    ),
    ("ingest/store.py", "f'{taken}_taken'"): ("name_taken", "key_taken"),
    ("scoring/core/bursts.py", "machine"): ("burst", "delivered_burst", "honeypot"),
    ("scoring/store/split.py", "parted"): ("not_a_member", "nobody_left"),
}
# Codes in other forms: in a tuple that is unpacked, as labels of metrics.
ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "router/core/assign.py": ("owner_of_account", "rep_of_account"),
    "scoring/store/metrics.py": ("duplicate", "too_old", "suppressed", "machine"),
    "scoring/core/link.py": ("too_many_turns", "too_many_identifiers", "parted_by_hand"),
}
METRICS: Final = {"Counter", "Gauge", "Histogram", "Summary"}


def texts(node: ast.expr | None) -> Iterator[str]:
    """The constant texts that an expression can become."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=yes, orelse=no):
            yield from texts(yes)
            yield from texts(no)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from texts(part)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _given(call: ast.Call, file: str) -> Iterator[ast.expr]:
    name = _called(call)
    if name in OTHERS:
        return
    yield from (word.value for word in call.keywords if word.arg in KEYWORDS)
    place, folder = PLACES.get(name, (-1, ""))
    if place >= 0 and file.startswith(folder) and len(call.args) > place:
        yield call.args[place]


def _table(name: str, value: ast.expr, file: str) -> Iterator[str]:
    if name == "default_code":
        yield from texts(value)
    elif name in TABLES and file == TABLE_FILES.get(name, file):
        if isinstance(value, ast.Dict):
            for one in value.keys if TABLES[name] == "keys" else value.values:
                yield from texts(one)
        else:
            yield from texts(value)
    elif name == "Code" and isinstance(value, ast.Subscript):
        yield from texts(value.slice)


@cache
def read(path: Path) -> tuple[set[str], set[str]]:
    """The codes in one file, and the expressions standing for a code that are neither constants nor handed on."""
    file = path.relative_to(SERVICES).as_posix()
    found: set[str] = set()
    made: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call():
                for value in _given(node, file):
                    read_now = list(texts(value))
                    found.update(read_now)
                    if not read_now and not _handed_on(value):
                        made.add(ast.unparse(value))
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.update(_table(name, value, file))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.update(_table(name, value, file))
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code":
                        found.update(texts(value))
    return {one for one in found if CODE.match(one)}, made


def _handed_on(value: ast.expr) -> bool:
    """A code that arose elsewhere: `error.code`, `reason`, `row["reason"]`, or a Reason."""
    match value:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in {"code", "reason", "_NO_REASON", "mine", "message"}
        case ast.Subscript(slice=ast.Constant(value="reason")):
            return True
        case ast.Call():
            return _called(value) in {"Reason", "_code"}
    return isinstance(value, ast.Constant) and value.value is None


def all_codes() -> dict[str, set[str]]:
    """Code to the files that can say it."""
    where: dict[str, set[str]] = defaultdict(set)
    for path in sorted(SERVICES.rglob("*.py")):
        for code in read(path)[0]:
            where[code].add(path.relative_to(SERVICES).as_posix())
    for (file, _), codes in MADE.items():
        for code in codes:
            where[code].add(file)
    for file, codes in ELSEWHERE.items():
        for code in codes:
            where[code].add(file)
    return dict(where)


@cache
def all_metrics() -> set[str]:
    """The names of all metrics."""
    return {
        name
        for path in SERVICES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _called(node) in METRICS and node.args
        for name in texts(node.args[0])
    }


def made_up() -> set[tuple[str, str]]:
    """(file, expression) of every code that is put together at run time."""
    return {
        (path.relative_to(SERVICES).as_posix(), expression)
        for path in sorted(SERVICES.rglob("*.py"))
        for expression in read(path)[1]
    }
