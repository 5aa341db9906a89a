"""Does a condition make sense? Every name known, every operator given the types it takes."""

from collections.abc import Mapping
from typing import Final, Literal

from services.policy.core import grammar
from services.policy.core.grammar import Binary, Choice, Junction, Many, Node, Path, Unary, fail
from services.policy.core.problems import did_you_mean

# `int` is whole; `number` may have decimals; `strings` is a list.
Type = Literal["bool", "int", "number", "string", "strings"]

NUMBERS: Final = frozenset(("int", "number"))
_LISTS: Final = {"string": "strings", "int": "numbers", "number": "numbers", "bool": "bools"}
_WORDS: Final = {
    "bool": "yes or no",
    "int": "a number",
    "number": "a number",
    "string": "a text",
    "strings": "a list of texts",
    "numbers": "a list of numbers",
    "bools": "a list of yes and no",
    "empty": "an empty list",
    "null": "null",
}
# A null literal fits where a value may be missing: comparisons by == and !=, and branches of a choice.
NULL: Final = "null"


def check_types(tree: Node, text: str, names: Mapping[str, Type]) -> None:
    """Set the type of every node.

    Raises:
        ConditionError: A name is unknown, a type does not fit, or the whole is not true or false.
    """
    _Check(text, names).visit(tree)
    if tree.type != "bool":
        fail(
            text, tree.at, f"a condition is true or false, but this is {_WORDS[tree.type]}", "compare it with something"
        )


class _Check:
    def __init__(self, text: str, names: Mapping[str, Type]) -> None:
        self._text = text
        self._names = names

    def visit(self, node: Node) -> str:
        node.type = self._type(node)
        return node.type

    def _type(self, node: Node) -> str:
        match node:
            case grammar.Literal(value=value):
                return {bool: "bool", int: "int", float: "number", str: "string"}.get(type(value), NULL)
            case Path():
                return self._path(node)
            case Many():
                return self._many(node)
            case Unary(op="!", operand=operand):
                self._want_bool(operand)
                return "bool"
            case Unary(operand=operand):
                return self._want_number(operand, "-")
            case Junction(parts=parts):
                for part in parts:
                    self._want_bool(part)
                return "bool"
            case Choice():
                self._want_bool(node.test)
                return self._common(node.yes, node.no, node.at)
            case Binary(op="in"):
                return self._in(node)
            case Binary():  # pragma: no branch (mypy proves that nothing else comes)
                return self._relation(node) if node.op in grammar.RELATIONS else self._arithmetic(node)

    def _fail(self, at: int, message: str, hint: str = "") -> str:
        fail(self._text, at, message, hint)

    def _path(self, node: Path) -> str:
        found = self._names.get(node.name)
        if found is not None:
            return found
        hint = did_you_mean(node.name, list(self._names)) or "docs/policy.md lists every name"
        return self._fail(node.at, f"unknown name `{node.name}`", hint)

    def _many(self, node: Many) -> str:
        if not node.items:
            return "empty"
        types = {self.visit(item) for item in node.items}
        if types <= NUMBERS:
            return "numbers"
        if len(types) > 1:
            self._fail(node.at, "a list holds values of one kind", "keep texts in quotes and numbers apart")
        one = types.pop()
        return _LISTS.get(one) or self._fail(node.at, f"{_WORDS[one]} cannot stand in a list")

    def _want_bool(self, node: Node) -> None:
        found = self.visit(node)
        if found != "bool":
            self._fail(
                node.at, f"true or false is needed here, but this is {_WORDS[found]}", "compare it with something"
            )

    def _want_number(self, node: Node, op: str) -> str:
        found = self.visit(node)
        return found if found in NUMBERS else self._fail(node.at, f"`{op}` takes numbers, but this is {_WORDS[found]}")

    def _common(self, left: Node, right: Node, at: int) -> str:
        """The type that both sides share."""
        one, two = self.visit(left), self.visit(right)
        if two in (one, NULL):
            return one
        if one == NULL:
            return two
        if one in NUMBERS and two in NUMBERS:
            return "number"
        return self._fail(
            at, f"{_WORDS[one]} and {_WORDS[two]} do not go together", "texts stand in quotes, numbers do not"
        )

    def _in(self, node: Binary) -> str:
        left, right = self.visit(node.left), self.visit(node.right)
        if right not in ("strings", "numbers", "bools", "empty"):
            self._fail(
                node.right.at, f"`in` needs a list, but this is {_WORDS[right]}", 'write [ ] around it: x in ["a", "b"]'
            )
        if left not in _LISTS:
            self._fail(node.left.at, f"{_WORDS[left]} cannot be in a list")
        if right not in (_LISTS[left], "empty"):
            self._fail(node.at, f"{_WORDS[left]} is never in {_WORDS[right]}", "texts stand in quotes, numbers do not")
        return "bool"

    def _relation(self, node: Binary) -> str:
        common = self._common(node.left, node.right, node.at)
        if common in ("strings", "numbers", "bools", "empty"):
            self._fail(node.at, f"lists cannot be compared by `{node.op}`", 'write "x" in list')
        if node.op in ("==", "!="):
            return "bool"
        if common not in ("int", "number", "string") or NULL in (node.left.type, node.right.type):
            self._fail(node.at, f"`{node.op}` takes two numbers or two texts")
        return "bool"

    def _arithmetic(self, node: Binary) -> str:
        if node.op == "+" and self.visit(node.left) == "string":
            found = self.visit(node.right)
            return (
                "string"
                if found == "string"
                else self._fail(node.right.at, f"a text and {_WORDS[found]} cannot be added")
            )
        one, two = self._want_number(node.left, node.op), self._want_number(node.right, node.op)
        if node.op == "%" and "number" in (one, two):
            self._fail(node.at, "`%` takes whole numbers")
        return "int" if one == two == "int" else "number"
