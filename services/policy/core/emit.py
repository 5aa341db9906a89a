"""A checked tree to one Python function of the facts, through the `ast` module.

A missing fact is None. Ordering with None is false, arithmetic with None is None, None as true-or-false is false.
Whole numbers behave as CEL's 64-bit ones: division truncates, and overflow or division by zero gives None.
"""

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.policy.core.grammar import Binary, Choice, Junction, Literal, Many, Node, Path, Unary

Function = Callable[[Mapping[str, Any]], Any]

_COMPARE: Final[dict[str, type[ast.cmpop]]] = {
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "==": ast.Eq,
    "!=": ast.NotEq,
}
_OPERATE: Final[dict[str, type[ast.operator]]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}
_LARGEST: Final = 2**63 - 1


def _whole(value: int) -> int | None:
    """The value when it fits 64 bits."""
    return value if -_LARGEST - 1 <= value <= _LARGEST else None


def _quotient(left: int, right: int) -> int | None:
    """Whole division towards zero."""
    if right == 0:
        return None
    found = abs(left) // abs(right)
    return _whole(found if (left < 0) == (right < 0) else -found)


def _remainder(left: int, right: int) -> int | None:
    """What whole division leaves; has the sign of the left side."""
    if right == 0:
        return None
    found = abs(left) % abs(right)
    return found if left >= 0 else -found


def _ratio(left: float, right: float) -> float:
    """Division as IEEE 754 has it."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


_GLOBALS: Final[dict[str, Any]] = {
    "__builtins__": {},
    "_whole": _whole,
    "_quotient": _quotient,
    "_remainder": _remainder,
    "_ratio": _ratio,
}


def function_of(node: Node) -> Function:
    """The function that gives the node's value for facts; true or false, never None, when its type is `bool`."""
    emitter = _Emitter()
    body = emitter.truth(node) if node.type == "bool" else emitter.value(node)
    arguments = ast.arguments(posonlyargs=[], args=[ast.arg("facts")], kwonlyargs=[], kw_defaults=[], defaults=[])
    get = ast.Assign([ast.Name("get", ast.Store())], ast.Attribute(ast.Name("facts", ast.Load()), "get", ast.Load()))
    function = ast.FunctionDef("condition", arguments, [get, ast.Return(body)], [])
    module = ast.fix_missing_locations(ast.Module([function], []))
    space = dict(_GLOBALS)
    exec(compile(module, "<condition>", "exec"), space)  # noqa: S102 made from a checked tree: paths and literals are constants
    made: Function = space["condition"]
    return made


class _Emitter:
    def __init__(self) -> None:
        self._count = 0

    def _kept(self, value: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The value stored under a name of its own, and the name to read it again."""
        self._count += 1
        name = f"v{self._count}"
        return ast.NamedExpr(ast.Name(name, ast.Store()), value), ast.Name(name, ast.Load())

    def truth(self, node: Node) -> ast.expr:
        """True or False of a node of type bool."""
        match node:
            case Path():
                return ast.Compare(self.value(node), [ast.Is()], [ast.Constant(True)])
            case Literal(value=None):
                return ast.Constant(False)
            case Choice():
                return ast.IfExp(self.truth(node.test), self.truth(node.yes), self.truth(node.no))
            case _:
                return self.value(node)

    def value(self, node: Node) -> ast.expr:
        """The node's value, or None when it is missing."""
        match node:
            case Literal():
                return ast.Constant(node.value)
            case Path():
                return _call("get", ast.Constant(node.name))
            case Many():
                return ast.Tuple([self.value(item) for item in node.items], ast.Load())
            case Junction():
                op = ast.And() if node.op == "&&" else ast.Or()
                return ast.BoolOp(op, [self.truth(part) for part in node.parts])
            case Choice():
                return ast.IfExp(self.truth(node.test), self.value(node.yes), self.value(node.no))
            case Unary(op="!"):
                return ast.UnaryOp(ast.Not(), self.truth(node.operand))
            case Unary():
                return self._known(lambda v: self._fit(ast.UnaryOp(ast.USub(), v[0]), node), node.operand)
            case Binary():  # pragma: no branch (mypy proves that nothing else comes)
                return self._binary(node)

    def _binary(self, node: Binary) -> ast.expr:
        if node.op == "in":
            return self._in(node)
        if node.op in ("==", "!="):
            return ast.Compare(self.value(node.left), [_COMPARE[node.op]()], [self.value(node.right)])
        if node.op in _COMPARE:
            return self._ordered(node)
        return self._known(lambda values: self._arithmetic(node, values), node.left, node.right)

    def _in(self, node: Binary) -> ast.expr:
        left = self.value(node.left)
        if isinstance(node.right, Many):
            return ast.Compare(left, [ast.In()], [self.value(node.right)])
        keep, name = self._kept(self.value(node.right))
        return ast.BoolOp(ast.And(), [_is_not_none(keep), ast.Compare(left, [ast.In()], [name])])

    def _ordered(self, node: Binary) -> ast.expr:
        checks: list[ast.expr] = []
        sides: list[ast.expr] = []
        for side in (node.left, node.right):
            value = self.value(side)
            if not isinstance(side, Literal):
                keep, value = self._kept(value)
                checks.append(_is_not_none(keep))
            sides.append(value)
        compare = ast.Compare(sides[0], [_COMPARE[node.op]()], [sides[1]])
        return ast.BoolOp(ast.And(), [*checks, compare]) if checks else compare

    def _known(self, made: Callable[[list[ast.expr]], ast.expr], *operands: Node) -> ast.expr:
        """`made(values)`, or None when one of the operands is None."""
        keeps, names = zip(*(self._kept(self.value(operand)) for operand in operands), strict=True)
        missing: list[ast.expr] = [ast.Compare(keep, [ast.Is()], [ast.Constant(None)]) for keep in keeps]
        test = missing[0] if len(missing) == 1 else ast.BoolOp(ast.Or(), missing)
        return ast.IfExp(test, ast.Constant(None), made(list(names)))

    def _arithmetic(self, node: Binary, values: list[ast.expr]) -> ast.expr:
        left, right = values
        if node.op == "%":
            return _call("_remainder", left, right)
        if node.op == "/":
            return _call("_quotient" if node.type == "int" else "_ratio", left, right)
        return self._fit(ast.BinOp(left, _OPERATE[node.op](), right), node)

    def _fit(self, value: ast.expr, node: Node) -> ast.expr:
        return _call("_whole", value) if node.type == "int" else value


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _is_not_none(value: ast.expr) -> ast.expr:
    return ast.Compare(value, [ast.IsNot()], [ast.Constant(None)])
