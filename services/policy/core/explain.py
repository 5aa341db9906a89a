"""Why is a condition not true, and by how much? The counterfactual, in words for reps."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from schemas.messages import Reason
from services.policy.core.emit import Function, function_of
from services.policy.core.grammar import Binary, Choice, Junction, Literal, Many, Node, Path, Unary
from services.policy.core.words import YES_NO, alternatives, counted_of, noun_of, number, plural, shown

# First part of a path to the code of a reason about it; the router and the runbook know these words.
_CODES: Final = {
    "engagement": "engagement_below",
    "fit": "fit_below",
    "persona": "persona_differs",
    "person": "person_differs",
    "account": "account_differs",
    "lead": "lead_not_known",
    "signals": "signal_missing",
    "stage": "stage_below",
}
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRROR: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NEEDED: Final = {
    "<": "less than {0} is needed",
    "<=": "{0} or less is needed",
    ">": "more than {0} is needed",
    ">=": "{0} or more is needed",
}
_GRADES: Final = "ABCD"
# A false yes-or-no is as far away as a number that is missing altogether.
_FAR: Final = 1.0
# A limit that has to be passed, not only reached.
_NEAR: Final = 0.01


class Gap(NamedTuple):
    """What is missing, and how far away it is: 0 is there, 1 is one thing wholly missing."""

    reasons: list[Reason]
    distance: float


class Explainer:
    """Explains one condition. Parts are compiled when first asked for, then kept: the router asks on every decision."""

    def __init__(self, tree: Node, labels: Mapping[str, str]) -> None:
        self._tree = tree
        self._labels = labels
        self._functions: dict[int, Function] = {}

    def explain(self, facts: Mapping[str, Any]) -> list[Reason]:
        """What keeps the condition from being true; empty when it is true. Each sentence once."""
        found: dict[str, Reason] = {}
        for reason in _Run(self._function, facts, self._labels).gap(self._tree, want=True).reasons:
            found.setdefault(reason.text, reason)
        return list(found.values())

    def _function(self, node: Node) -> Function:
        function = self._functions.get(id(node))  # the tree keeps the node, so that its id is its own
        if function is None:
            function = self._functions[id(node)] = function_of(node)
        return function


class _Run:
    """One explanation: the facts of one lead."""

    def __init__(
        self, function: Callable[[Node], Function], facts: Mapping[str, Any], labels: Mapping[str, str]
    ) -> None:
        self._function = function
        self._facts = facts
        self._labels = labels

    def _value(self, node: Node) -> Any:
        return self._function(node)(self._facts)

    def gap(self, node: Node, *, want: bool) -> Gap:
        """What keeps the node from being `want`."""
        if bool(self._value(node)) is want:  # null is false here
            return Gap([], 0.0)
        match node:
            case Junction():
                # All parts are needed for `&&` to be true and for `||` to be false; else the nearest one will do.
                gaps = [g for g in (self.gap(part, want=want) for part in node.parts) if g.reasons]
                if (node.op == "&&") is want:
                    return Gap([r for g in gaps for r in g.reasons], sum(g.distance for g in gaps))
                return min(gaps, key=lambda g: (g.distance, len(g.reasons)))
            case Unary():
                return self.gap(node.operand, want=not want)
            case Choice():
                return self.gap(node.yes if self._value(node.test) else node.no, want=want)
            case Path():
                return Gap([self._yes_no(node, want=want)], _FAR)
            case Binary():
                return (
                    self._in(node, want=want)
                    if node.op == "in"
                    else self._relation(node, node.op if want else _OPPOSITE[node.op])
                )
            case Literal() | Many():  # pragma: no branch (mypy proves that nothing else comes)
                return Gap([Reason(code="never", text="the policy never lets this happen")], math.inf)

    def _yes_no(self, node: Path, *, want: bool) -> Reason:
        code = _code(node)
        if node.name.startswith("stage."):
            stage = node.name.removeprefix("stage.")
            text = f"the lead is {'not yet' if want else 'already'} {stage.replace('_', ' ')}"
            return Reason(code=code, text=text, seen=not want, limit=stage)
        words = YES_NO.get(node.name)
        if words is None:
            noun = noun_of(node.name, self._labels)
            words = (f"{noun} is not true", f"{noun} is true")
        return Reason(code=code, text=words[0 if want else 1], seen=not want, limit=want)

    def _in(self, node: Binary, *, want: bool) -> Gap:
        seen, among = self._value(node.left), list(self._value(node.right) or ())
        noun = self._words(node.left)
        limit = [value for value in among if value is not None]
        if not limit and want:
            return Gap([Reason(code="never", text=f"no {noun} is allowed by the policy", seen=seen)], math.inf)
        needed = alternatives([shown(value) for value in limit]) + " is needed" if want else "anything else is needed"
        text = f"{noun} is {shown(seen)}; {needed}"
        distance = _FAR
        if want and _is(node.left, "fit.grade") and seen in tuple(_GRADES):
            steps = [_GRADES.index(seen) - _GRADES.index(g) for g in limit if g in tuple(_GRADES)]
            distance = min((abs(s) for s in steps), default=4) / 4
        return Gap([Reason(code=_code(node.left), text=text, seen=seen, limit=limit)], distance)

    def _relation(self, node: Binary, op: str) -> Gap:
        """Two values that do not stand to each other as `op` wants."""
        left, right = node.left, node.right
        if isinstance(left, Literal) and not isinstance(right, Literal):
            left, right, op = right, left, _MIRROR[op]
        seen, limit = self._value(left), self._value(right)
        noun = self._words(left)
        if limit is None:
            return self._against_null(left, right, op, seen)
        if seen is not None and op not in ("==", "!=") and _finite(seen, limit):
            return self._short(left, op, seen, limit)
        if seen is None:
            seen_text = f"{noun} is not known" if not noun.startswith("number of") else f"the {noun} is not known"
            needed = f"{shown(limit)} is needed" if op == "==" else _NEEDED[op].format(shown(limit))
            return Gap([Reason(code=_code(left), text=f"{seen_text}; {needed}", seen=None, limit=limit)], _FAR)
        if op == "==":
            needed = f"{self._words(right)} is needed"
        elif op == "!=":
            needed = "anything else is needed"
        else:
            needed = _NEEDED[op].format(self._words(right))
        return Gap([Reason(code=_code(left), text=f"{noun} is {shown(seen)}; {needed}", seen=seen, limit=limit)], _FAR)

    def _against_null(self, left: Node, right: Node, op: str, seen: Any) -> Gap:
        noun = self._words(left)
        if op == "!=":
            text = f"{noun} is not known"
        elif op == "==":
            text = f"{noun} is known ({shown(seen)})"
        else:
            text = f"{self._words(right)} is not known"
        return Gap([Reason(code=_code(left), text=text, seen=seen)], _FAR)

    def _short(self, node: Node, op: str, seen: float, limit: float) -> Gap:
        """A number on the wrong side of its limit."""
        code = _code(node)
        counted = counted_of(node.name, self._labels) if isinstance(node, Path) else None
        if counted and op in (">", ">="):
            need = limit if op == ">=" else math.floor(limit) + 1
            text = _too_few(counted[0], counted[1], seen, need)
            distance = min((need - seen) / max(need, 1.0), _FAR)
            return Gap([Reason(code=code, text=text, seen=seen, limit=limit)], distance)
        short = abs(limit - seen)
        distance = min(max(short / max(abs(limit), 1.0), _NEAR), _FAR)
        noun = self._words(node)
        if noun.startswith("number of"):
            noun = f"the {noun}"
        if op in (">", ">="):
            gap = max(math.ceil(short * 10 - 1e-6), 1) / 10
            unit = "" if not _is(node, "engagement.score", "fit.score") else " point" if gap == 1 else " points"
            tail = f"{number(gap)}{unit} short of {number(limit)}" if op == ">=" else _NEEDED[op].format(number(limit))
            text = f"{noun} is {number(seen, down=True)}, {tail}"
        else:
            text = f"{noun} is {number(seen)}; {_NEEDED[op].format(number(limit))}"
        points = short if _is(node, "engagement.score", "fit.score") else None
        return Gap([Reason(code=code, text=text, seen=seen, limit=limit, points=points)], distance)

    def _words(self, node: Node) -> str:
        """An expression as people say it."""
        match node:
            case Path():
                return noun_of(node.name, self._labels)
            case Literal():
                return shown(node.value)
            case Many():
                return ", ".join(self._words(item) for item in node.items)
            case Unary():
                return f"{'not' if node.op == '!' else 'minus'} {self._words(node.operand)}"
            case Binary():
                return f"{self._words(node.left)} {node.op} {self._words(node.right)}"
            case Junction() | Choice():  # pragma: no branch (mypy proves that nothing else comes)
                return "the result"


def _too_few(noun: str, days: int, seen: float, need: float) -> str:
    """`no demo request yet`, `1 pricing visit in the last 7 days, 2 more are needed`."""
    when = f" in the last {days} days" if days > 1 else " today" if days else ""
    more = max(math.ceil((need - seen) * 10 - 1e-6), 1) / 10
    verb = "is" if more == 1 else "are"
    if seen <= 0:
        return f"no {noun}{when or ' yet'}" + (f"; {number(more)} {verb} needed" if more > 1 else "")
    return f"{number(seen, down=True)} {noun if seen == 1 else plural(noun)}{when}, {number(more)} more {verb} needed"


def _finite(*values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _is(node: Node, *paths: str) -> bool:
    return isinstance(node, Path) and node.name in paths


def _code(node: Node) -> str:
    """The code of a reason about an expression: by the first fact in it."""
    match node:
        case Path():
            return _CODES.get(node.name.split(".")[0], "condition_not_met")
        case Unary():
            return _code(node.operand)
        case Binary():
            return _code(node.left) if not isinstance(node.left, Literal) else _code(node.right)
        case Literal() | Many() | Junction() | Choice():  # pragma: no branch (as above)
            return "condition_not_met"
