"""How lists are cut into pages: `{"items": […], "next": cursor|null}`, newest first.

A cursor is the sort key of the last item, written opaquely; it grants nothing, so it is not signed, only checked.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Query

from services.runtime.errors import BadMessage

CURSOR_MAX_CHARS = 512
PAGE_MAX = 200

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Items on a page")]
Cursor = Annotated[str | None, Query(max_length=CURSOR_MAX_CHARS, description="`next` of the page before")]
Part = str | int | float


def page(items: Sequence[Any], next: str | None = None) -> dict[str, Any]:  # noqa: A002 the name of the contract
    """The answer of every list."""
    return {"items": items, "next": next}


def encode_cursor(*parts: Part) -> str:
    """The sort key of a page's last item, as one opaque word."""
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).rstrip(b"=").decode()


def decode_cursor(text: str | None, *kinds: type[Part]) -> tuple[Any, ...] | None:
    """The sort key again, one value for each of `kinds`; None for no cursor.

    Raises:
        BadMessage: `bad_cursor`: not one of ours, or of another list.
    """
    if not text:
        return None
    try:
        if len(text) > CURSOR_MAX_CHARS:
            raise ValueError(text)
        parts = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if not isinstance(parts, list) or len(parts) != len(kinds):
            raise TypeError(text)
        if not all(type(part) is kind and part != "" for part, kind in zip(parts, kinds, strict=True)):
            raise TypeError(text)
        if any(isinstance(part, str) and "\x00" in part for part in parts):
            raise ValueError(text)
    except (ValueError, TypeError, binascii.Error, msgspec.DecodeError) as error:
        raise _bad() from error
    return tuple(parts)


def encode_place(at: datetime, ident: str) -> str:
    """The place of an item in a list by time: the cursor for `(at, id) < (…)`."""
    return encode_cursor(at.isoformat(), ident)


def decode_place(text: str | None, check: Callable[[str], object] = str) -> tuple[datetime, str] | None:
    """The time and the id of an item again; None for no cursor.

    Args:
        check: Raises ValueError for what is no id of this list.

    Raises:
        BadMessage: `bad_cursor`: not one of ours, or of another list.
    """
    parts = decode_cursor(text, str, str)
    if parts is None:
        return None
    try:
        at = datetime.fromisoformat(parts[0])
        check(parts[1])
    except ValueError as error:
        raise _bad() from error
    if at.tzinfo is None:
        raise _bad()
    return at, parts[1]


def _bad() -> BadMessage:
    return BadMessage("the cursor is not one of this list; begin again without it", code="bad_cursor")
