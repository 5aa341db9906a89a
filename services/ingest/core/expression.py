"""What is the value of an expression over a payload? The policy's language (a subset of CEL), over JSON of any shape.

Names are fields of the payload, `contact.email`. A payload has no types that could be checked beforehand: what is missing,
or does not fit an operator, is null, and null where true or false is needed is false. Never raises over a payload.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from services.ingest.core.limits import TEXT_MAX, BadItem
from services.policy.core.grammar import (
    Binary,
    Choice,
    ConditionError,
    Junction,
    Literal,
    Many,
    Node,
    Path,
    Unary,
    parse,
)

_NUMBERS: Final = (int, float)
_LARGEST: Final = 2**63
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


@lru_cache(maxsize=1024)
def _tree(text: str) -> Node | BadItem:
    try:
        return parse(text)
    except ConditionError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return BadItem("bad_map", f"`{text[:80]}`, character {error.column}: {error.message}{hint}")


def value_of(text: str, payload: object) -> Any:
    """The value of the expression `text` for one payload; None when what it names is not there.

    Raises:
        BadItem: `bad_map`, when the text is no expression.
    """
    tree = _tree(text)
    if isinstance(tree, BadItem):
        raise BadItem(tree.code, tree.message)
    return _value(tree, payload)


def _value(node: Node, payload: object) -> Any:
    match node:
        case Literal(value=value):
            return value
        case Path(name=name):
            return _field(payload, name.split("."))
        case Many(items=items):
            return [_value(one, payload) for one in items]
        case Unary(op="!", operand=operand):
            return _value(operand, payload) is not True
        case Unary(operand=operand):
            found = _value(operand, payload)
            return -found if _number(found) else None
        case Junction(op="&&", parts=parts):
            return all(_value(part, payload) is True for part in parts)
        case Junction(parts=parts):
            return any(_value(part, payload) is True for part in parts)
        case Choice(test=test, yes=yes, no=no):
            return _value(yes if _value(test, payload) is True else no, payload)
        case Binary(op=op, left=left, right=right):  # pragma: no branch  mypy proves that there is no other
            return _binary(op, _value(left, payload), _value(right, payload))


def _field(payload: object, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(payload, Mapping):
            return None
        payload = payload.get(key)
    return payload


def _binary(op: str, left: Any, right: Any) -> Any:
    both = _number(left) and _number(right)
    texts = isinstance(left, str) and isinstance(right, str)
    if op in ("==", "!="):
        # True is no 1 here.
        same = left == right and isinstance(left, bool) == isinstance(right, bool)
        return same if op == "==" else not same
    if op == "in":
        return isinstance(right, list | Mapping) and isinstance(left, str | int | float) and left in right
    if op in _ORDER:
        return (both or texts) and _ORDER[op](left, right)
    if op == "+" and texts:
        return (left + right)[:TEXT_MAX]
    return _computed(op, left, right) if both else None


def _computed(op: str, left: float, right: float) -> float | None:
    try:
        found = _ARITHMETIC[op](left, right)
    except (ArithmeticError, ValueError):
        return None
    return found if -_LARGEST <= found < _LARGEST else None


def _number(value: object) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)
