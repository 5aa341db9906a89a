"""Templates with conditions in them: a small, safe part of Jinja. Checked when the policy is loaded, bounded when filled.

What a template may do: names of `TEMPLATE_NAMES`, `if`, comparisons, `and`, `or`, `not`, and a few filters. No loops, no
calls, no arithmetic, no attributes of anything: its text is never longer than itself and what is put in.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from jinja2 import Template as Compiled
from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.policy.core.problems import did_you_mean

FILTERS: Final = ("default", "upper", "lower", "capitalize", "title", "trim", "truncate")
TESTS: Final = ("defined", "undefined", "none")
# The longest text that is made: a message of ten pages is none.
MOST_CHARS: Final = 20_000
# Levels of conditions, values and filters in one another. Python itself gives up at 100 blocks or 200 brackets, but only
# when the template is first filled.
DEEPEST: Final = 50
_ALLOWED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.CondExpr,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Compare,
    nodes.Operand,
    nodes.Const,
    nodes.Concat,
    nodes.Tuple,
    nodes.List,
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong in a template's text. Line and column count from 1 in the text."""

    line: int
    column: int
    message: str
    hint: str = ""


def faults(text: str, known: frozenset[str]) -> list[Fault]:
    """Everything that a template may not say.

    Args:
        known: The dotted names that are there.
    """
    try:
        tree = _environment().parse(text)
    except TemplateSyntaxError as error:
        message = f"not a template: {error.message}"
        return [Fault(line=error.lineno, column=1, message=message, hint="check {{ }}, {% %} and quotes near here")]
    except RecursionError:
        return [Fault(line=1, column=1, message="nested too deep", hint=f"at most {DEEPEST} levels")]
    return list(_walk(tree, text.splitlines() or [""], known))


def filled(text: str, values: Mapping[str, str | None]) -> str:
    """The text with its values; a name without one is left to its default, or to nothing."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        first, dot, rest = name.partition(".")
        if dot:
            nested.setdefault(first, {})[rest] = value
        else:
            nested[first] = value
    for name in values:
        if "." in name:
            nested.setdefault(name.partition(".")[0], {})
    return _compiled(text).render(nested)[:MOST_CHARS]


def _walk(node: nodes.Node, lines: list[str], known: frozenset[str], level: int = 0) -> Iterator[Fault]:
    if level > DEEPEST:
        yield _fault(node, "", lines, "nested too deep", f"at most {DEEPEST} levels")
        return
    name = _dotted(node)
    if name is not None:
        if name not in known:
            shown = sorted(known)
            hint = did_you_mean(name, shown) or f"one of {', '.join(shown)}"
            yield _fault(node, name, lines, f"unknown name {{{{ {name} }}}}", hint)
        return
    if isinstance(node, nodes.Filter):
        if node.name not in FILTERS:
            yield _fault(node, node.name, lines, f"there is no filter {node.name} here", f"one of {', '.join(FILTERS)}")
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            yield _fault(node, "*", lines, "write the filter's values out")
    elif isinstance(node, nodes.Test):
        if node.name not in TESTS:
            yield _fault(node, node.name, lines, f"there is no test {node.name} here", f"one of {', '.join(TESTS)}")
    elif not isinstance(node, _ALLOWED):
        yield _fault(node, "", lines, f"{_called(node)} is not for templates", "only names, if, and a few filters")
        return
    for child in node.iter_child_nodes():
        yield from _walk(child, lines, known, level + 1)


def _dotted(node: nodes.Node) -> str | None:
    """`lead.first_name` for a name or an attribute of a name; None for anything else."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return None


def _called(node: nodes.Node) -> str:
    words = {"For": "a loop", "Call": "a call", "Getattr": "an attribute", "Getitem": "an item", "Macro": "a macro"}
    name = type(node).__name__
    return words.get(name, name.lower())


def _fault(node: nodes.Node, word: str, lines: list[str], message: str, hint: str = "") -> Fault:
    line = min(max(node.lineno, 1), len(lines))
    at = lines[line - 1].find(word) if word else -1
    return Fault(line=line, column=max(at, 0) + 1, message=message, hint=hint)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(autoescape=False, keep_trailing_newline=True)
    made.filters = {name: made.filters[name] for name in FILTERS}
    made.tests = {name: made.tests[name] for name in TESTS}
    made.globals = {}
    return made


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Compiled:
    return _environment().from_string(text)
