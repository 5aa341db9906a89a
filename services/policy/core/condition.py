"""Conditions of the policy: compiled once, asked often, and able to say what is missing.

A missing value is null: it is equal to nothing but null, neither smaller nor greater than anything, in no list, and
where true or false is needed it is false.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from schemas.messages import Reason
from services.policy.core.emit import function_of
from services.policy.core.explain import Explainer
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
from services.policy.core.types import Type, check_types

__all__ = ["Condition", "ConditionError", "Type", "compile_condition"]


class Condition:
    """One compiled condition. Call it with flat facts, `{"account.named": True, …}`.

    Attributes:
        text: As it was written.
        paths: The facts that it reads.
        test: The bare function, for loops that count nanoseconds.
    """

    __slots__ = ("_explainer", "_tree", "paths", "test", "text")

    def __init__(self, text: str, tree: Node, labels: Mapping[str, str]) -> None:
        self.text = text
        self.test: Callable[[Mapping[str, Any]], bool] = function_of(tree)
        self.paths: frozenset[str] = frozenset(n.name for n in _nodes(tree) if isinstance(n, Path))
        self._tree = tree
        self._explainer = Explainer(tree, labels)

    def __call__(self, facts: Mapping[str, Any]) -> bool:
        """Whether the condition is true for these facts."""
        return self.test(facts)

    def missing(self, facts: Mapping[str, Any]) -> list[Reason]:
        """What would have to change for the condition to be true, in words and by how much; empty when it is true.

        Of alternatives (`||`) only the nearest is told.
        """
        return self._explainer.explain(facts)

    def limits(self, path: str) -> list[float]:
        """The numbers that `path` is compared with."""
        found: list[float] = []
        for node in _nodes(self._tree):
            if isinstance(node, Binary) and node.op in ("<", "<=", ">", ">="):
                for one, other in ((node.left, node.right), (node.right, node.left)):
                    if isinstance(one, Path) and one.name == path and isinstance(other, Literal):
                        found.append(float(other.value or 0))
        return found

    def numbers(self, path: str) -> list[float]:
        """The numbers that `path` is said to be equal to, not equal to, or among."""
        return [float(v) for v, _ in self._values(path) if isinstance(v, int | float) and not isinstance(v, bool)]

    def texts(self, path: str) -> list[tuple[str, int]]:
        """The texts that `path` is compared with, or looked up in, and their offsets: for the lint."""
        return [(v, at) for v, at in self._values(path) if isinstance(v, str)]

    def _values(self, path: str) -> list[tuple[Any, int]]:
        """The constants that `path` is compared with for equality, and their offsets."""
        found: list[tuple[Any, int]] = []
        for node in _nodes(self._tree):
            if isinstance(node, Binary) and node.op in ("in", "==", "!="):
                for one, other in ((node.left, node.right), (node.right, node.left)):
                    if isinstance(one, Path) and one.name == path:
                        sides = other.items if isinstance(other, Many) else [other]
                        found += [(side.value, side.at) for side in sides if isinstance(side, Literal)]
        return found


def compile_condition(text: str, names: Mapping[str, Type], labels: Mapping[str, str] | None = None) -> Condition:
    """Compile a condition.

    Args:
        text: At most 2,000 characters; the grammar stands in core/grammar.py and docs/policy.md.
        names: Every fact that may be named, and its type.
        labels: What people call one of a signal, for sentences; names of signals without `signals.`.

    Raises:
        ConditionError: With line and column inside the text, and a hint.
    """
    tree = parse(text)
    check_types(tree, text, names)
    return Condition(text, tree, labels or {})


def _nodes(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    below: list[Node] = []
    match node:
        case Many():
            below = node.items
        case Unary():
            below = [node.operand]
        case Binary():
            below = [node.left, node.right]
        case Junction():
            below = node.parts
        case Choice():
            below = [node.test, node.yes, node.no]
        case Literal() | Path():  # pragma: no branch (mypy proves that nothing else comes)
            pass
    for part in below:
        yield from _nodes(part)
