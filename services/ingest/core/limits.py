"""What do we refuse? Sizes, nesting and characters that no later stage should have to meet."""

import re
from typing import Final

# Lengths in characters. RFC 5321 allows 254 for an address; ids of real platforms stay below 128.
ID_MAX: Final = 256
EMAIL_MAX: Final = 254
NAME_MAX: Final = 256
URL_MAX: Final = 2048
TEXT_MAX: Final = 1024
TRAITS_MAX: Final = 64
# Above this many bytes a body that nests too deep is refused whole: looking for the guilty item costs 0.3 s a MB.
ISOLATE_MAX_BYTES: Final = 524_288
# Stands for an item that was cut out of a batch. No client writes a zero like this.
CUT: Final = b"-0e-7"

# Possessive, and a string may end with the body: else a body of escaped quotes would cost the square of its length.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\u0000)|\\.",
    re.DOTALL,
)
# JavaScript's numbers that JSON does not have; Python's encoder writes them all the same.
_NO_NUMBER = re.compile(rb'("(?:[^"\\]++|\\.)*+"?)|-?Infinity|NaN', re.DOTALL)
_REPLACEMENT = rb"\ufffd"
_BOM = b"\xef\xbb\xbf"


class BadItem(Exception):
    """One item of a request that never can be used. `code` is stable, `message` says it in words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def mended_utf8(body: bytes) -> bytes:
    """The body as valid UTF-8 without a byte order mark; bytes that are no UTF-8 become U+FFFD."""
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
    if body.isascii():
        return body
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body


def suspicious(body: bytes) -> bool:
    """Whether the body may hold what `mended_escapes` mends."""
    return any(mark in body for mark in (b"\\u0000", b"\\ud", b"\\uD", b"NaN", b"Infinity"))


def mended_escapes(body: bytes) -> bytes:
    """JSON with each lone surrogate and each NUL escape replaced by U+FFFD, and NaN and Infinity by null.

    Browsers cut strings in the middle of an emoji, and PostgreSQL stores no NUL: neither is worth an event.
    """

    def mend(found: re.Match[bytes]) -> bytes:
        return _REPLACEMENT if found.group(1) else found.group(0)

    if b"NaN" in body or b"Infinity" in body:
        body = _NO_NUMBER.sub(lambda found: found.group(1) or b"null", body)
    return _ESCAPE.sub(mend, body)


def too_deep(raw: bytes, limit: int) -> bool:
    """Whether JSON nests deeper than `limit`. Counts brackets first, which settles all but strange items."""
    # To look whether there is a list at all is quicker than to count.
    if raw.count(b"{") + (raw.count(b"[") if b"[" in raw else 0) <= limit:
        return False
    depth = 0
    for found in _TOKEN.finditer(raw):
        first = found.group()[:1]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def isolate_deep(body: bytes, limit: int) -> tuple[bytes, list[bytes]]:
    """The batch with every item that nests too deep cut out, and the items cut, in order.

    An item is what stands at the third level: `{"batch": [item, item]}`. `CUT` takes the place of each.
    """
    kept: list[bytes] = []
    cut: list[bytes] = []
    depth = deepest = start = done = 0
    for found in _TOKEN.finditer(body):
        first = found.group()[:1]
        if first in b"[{":
            depth += 1
            if depth == 3:
                start, deepest = found.start(), 3
            deepest = max(deepest, depth)
        elif first in b"]}":
            if depth == 3 and deepest - 2 > limit:
                kept += (body[done:start], CUT)
                cut.append(body[start : found.end()])
                done = found.end()
            depth -= 1
    kept.append(body[done:])
    return b"".join(kept), cut


def clean_text(value: object, longest: int = TEXT_MAX) -> str | None:
    """A trimmed text of at most `longest` characters, or None when it is empty or no text. Numbers become text."""
    if isinstance(value, str):
        text = value.strip()
        return text[:longest] if text else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)[:longest]
    return None
