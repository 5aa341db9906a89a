"""Text of a condition to a tree: the subset of CEL (docs/policy.md, "Conditions").

    choice   = any [ "?" choice ":" choice ]        any  = all { "||" all }        all = relation { "&&" relation }
    relation = sum { ("<" "<=" ">" ">=" "==" "!=" "in") sum }
    sum      = product { ("+" "-") product }        product = unary { ("*" "/" "%") unary }
    unary    = ("!" | "-") unary | primary          primary = literal | path | "(" choice ")" | "[" choice {"," choice} "]"

Source: the CEL language definition, github.com/google/cel-spec, "Syntax"
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

MAX_LENGTH: Final = 2000  # characters
MAX_DEPTH: Final = 24  # levels of brackets and operators; Python compiles hundreds
MAX_WHOLE: Final = 2**53  # whole numbers up to here are exact as doubles too

RELATIONS: Final = frozenset(("<", "<=", ">", ">=", "==", "!=", "in"))

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|//[^\n]*)
      | (?P<float>(?:\d+\.\d+|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)
      | (?P<int>0x[0-9a-fA-F]+|\d+)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<path>[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)*)
      | (?P<op>&&|\|\||<=|>=|==|!=|[<>!+\-*/%?:()\[\],])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
_FOREIGN: Final = {
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "None": "write null",
    "True": "write true",
    "False": "write false",
}
_STRAY: Final = {
    "=": "write == to compare",
    "&": "write &&",
    "|": "write ||",
    '"': "the text is not closed: end it with the same quote",
    "'": "the text is not closed: end it with the same quote",
    ".": "parts of lists and results cannot be named",
}


class ConditionError(ValueError):
    """A condition that cannot be used. `line` and `column` count from 1, inside the condition."""

    def __init__(self, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint


@dataclass(eq=False, slots=True)
class _Node:
    """A part of the tree. `at` is its offset in the text; `type` is set by the type check."""

    at: int
    type: str = field(default="", init=False)


@dataclass(eq=False, slots=True)
class Literal(_Node):
    """A number, text, true, false or null."""

    value: bool | int | float | str | None


@dataclass(eq=False, slots=True)
class Path(_Node):
    """A fact, as `account.employees`."""

    name: str


@dataclass(eq=False, slots=True)
class Many(_Node):
    """A list."""

    items: list["Node"]


@dataclass(eq=False, slots=True)
class Unary(_Node):
    """`!x` or `-x`."""

    op: str
    operand: "Node"


@dataclass(eq=False, slots=True)
class Binary(_Node):
    """Arithmetic, a comparison or `in`."""

    op: str
    left: "Node"
    right: "Node"


@dataclass(eq=False, slots=True)
class Junction(_Node):
    """`a && b && …` or `a || b || …`."""

    op: str
    parts: list["Node"]


@dataclass(eq=False, slots=True)
class Choice(_Node):
    """`test ? yes : no`."""

    test: "Node"
    yes: "Node"
    no: "Node"


Node = Literal | Path | Many | Unary | Binary | Junction | Choice


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the text. `kind` is the group of the pattern, or `end`."""

    kind: str
    text: str
    at: int


def fail(text: str, at: int, message: str, hint: str = "") -> NoReturn:
    """Raise the error at an offset of the text."""
    before = text[:at]
    raise ConditionError(message, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1, hint)


def tokens_of(text: str) -> list[Token]:
    """The words of a condition, `end` last.

    Raises:
        ConditionError: It is too long, or has a character that no condition has.
    """
    if len(text) > MAX_LENGTH:
        fail(text, 0, f"the condition is longer than {MAX_LENGTH:,} characters", "split it, or use a list with in")
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            fail(text, at, f"`{text[at]}` cannot stand here", _STRAY.get(text[at], ""))
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, match[0], at))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found


def parse(text: str) -> Node:
    """The tree of a condition.

    Raises:
        ConditionError: It is not a condition; says where and what was expected.
    """
    parser = _Parser(text)
    tree = parser.choice()
    rest = parser.now
    if rest.kind != "end":
        if rest.text == "(":
            fail(
                text,
                rest.at,
                "functions are not part of conditions",
                "write account.owner != null for has(account.owner)",
            )
        if rest.text == "[":
            fail(text, rest.at, "parts of lists cannot be named", 'write "x" in list')
        fail(
            text,
            rest.at,
            f"`{rest.text}` is not expected here",
            _FOREIGN.get(rest.text, "join two conditions by && or ||"),
        )
    return tree


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens_of(text)
        self._index = 0
        self._depth = 0

    @property
    def now(self) -> Token:
        return self._tokens[self._index]

    def _take(self, *ops: str) -> Token | None:
        token = self.now
        if token.text in ops and token.kind in ("op", "path"):
            self._index += 1
            return token
        return None

    def _expect(self, op: str, opened: Token) -> None:
        if self._take(op) is None:
            seen = f"`{self.now.text}`" if self.now.text else "the end"
            fail(
                self.text,
                self.now.at,
                f"`{op}` is missing before {seen}",
                f"it closes `{opened.text}` at character {opened.at + 1}",
            )

    def _deeper(self, at: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            fail(self.text, at, f"nested deeper than {MAX_DEPTH} levels", "split the condition")

    def choice(self) -> Node:
        self._deeper(self.now.at)
        test = self._junction("||", lambda: self._junction("&&", self._relation))
        mark = self._take("?")
        if mark is not None:
            yes = self.choice()
            self._expect(":", mark)
            test = Choice(mark.at, test, yes, self.choice())
        self._depth -= 1
        return test

    def _junction(self, op: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        at = self.now.at
        while self._take(op):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Junction(at, op, parts)

    def _chain(self, ops: frozenset[str], part: Callable[[], Node]) -> Node:
        """A left-associative chain; each link is one level of depth."""
        left = part()
        links = 0
        while op := self._take(*ops):
            self._deeper(op.at)
            links += 1
            left = Binary(op.at, op.text, left, part())
        self._depth -= links
        return left

    def _relation(self) -> Node:
        return self._chain(RELATIONS, self._sum)

    def _sum(self) -> Node:
        return self._chain(frozenset("+-"), lambda: self._chain(frozenset("*/%"), self._unary))

    def _unary(self) -> Node:
        op = self._take("!", "-")
        if op is None:
            return self._primary()
        self._deeper(op.at)
        operand = self._unary()
        self._depth -= 1
        if op.text == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(op.at, -operand.value)  # type: ignore[operator]  # the type was looked at just now
        return Unary(op.at, op.text, operand)

    def _primary(self) -> Node:
        token = self.now
        self._index += 1
        match token.kind:
            case "int":
                value = int(token.text, 16 if token.text[:2] == "0x" else 10)
                if value > MAX_WHOLE:
                    fail(self.text, token.at, "the number is too large")
                return Literal(token.at, value)
            case "float":
                return Literal(token.at, float(token.text))
            case "string":
                return Literal(token.at, self._string(token))
            case "path":
                return self._named(token)
            case "op" if token.text == "(":
                inner = self.choice()
                self._expect(")", token)
                return inner
            case "op" if token.text == "[":
                return self._list(token)
        self._index -= 1
        seen = f"`{token.text}`" if token.text else "the end"
        return fail(
            self.text, token.at, f"a value is missing before {seen}", "a value is a number, a text in quotes, or a name"
        )

    def _named(self, token: Token) -> Node:
        constants: dict[str, bool | None] = {"true": True, "false": False, "null": None}
        if token.text in constants:
            return Literal(token.at, constants[token.text])
        if token.text == "in":
            fail(self.text, token.at, "a value is missing before `in`")
        if token.text in _FOREIGN:
            fail(self.text, token.at, f"`{token.text}` is not part of conditions", _FOREIGN[token.text])
        return Path(token.at, re.sub(r"\s+", "", token.text))

    def _list(self, opened: Token) -> Node:
        items: list[Node] = []
        while self.now.text != "]" or self.now.kind != "op":
            items.append(self.choice())
            if self._take(",") is None:
                break
        self._expect("]", opened)
        return Many(opened.at, items)

    def _string(self, token: Token) -> str:
        def one(match: re.Match[str]) -> str:
            code = match[1]
            if code in _ESCAPED:
                return _ESCAPED[code]
            if len(code) == 5:
                return chr(int(code[1:], 16))
            return fail(
                self.text, token.at + 1 + match.start(), f"`\\{code}` is not known", "write \\\\ for a backslash"
            )

        return _ESCAPE.sub(one, token.text[1:-1])
