"""A dead letter as people read it: its bytes as text or hex, never as markup, never too much of it. Pure."""

import contextlib
import json
from datetime import datetime
from typing import Final

import msgspec

from services.eventlog.deadletter import DeadLetter

SHOWN_MAX: Final = 64 * 1024
HEX_MAX: Final = 4096
HEX_ROW: Final = 16


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One letter in the list."""

    id: int
    stage: str
    topic: str
    place: str
    reason: str
    detail: str
    attempts: int
    size: int
    died_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None
    replayable: bool


class Bytes(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes to look at. `kind`: `json` (set in lines), `text`, or `hex`; `cut`: how many bytes are not shown."""

    kind: str
    text: str
    size: int
    cut: int


def row(letter: DeadLetter) -> Row:
    """A letter in the list."""
    return Row(
        id=letter.id,
        stage=letter.stage,
        topic=letter.topic,
        place=_place(letter),
        reason=letter.reason,
        detail=letter.detail,
        attempts=letter.attempts,
        size=len(letter.value or b""),
        died_at=letter.died_at,
        replayed_at=letter.replayed_at,
        replayed_by=letter.replayed_by,
        replayable=letter.part >= 0,
    )


def readable(body: bytes | None) -> Bytes | None:
    """Bytes as JSON in lines, as text, or as hex; None for none."""
    if body is None:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        shown = body[:HEX_MAX]
        return Bytes(kind="hex", text=_hex(shown), size=len(body), cut=len(body) - len(shown))
    kind = "text"
    if len(body) <= SHOWN_MAX:
        with contextlib.suppress(ValueError, RecursionError):
            text, kind = json.dumps(json.loads(text), indent=2, ensure_ascii=False), "json"
    shown_text = _visible(text[:SHOWN_MAX])
    return Bytes(kind=kind, text=shown_text, size=len(body), cut=max(0, len(text) - SHOWN_MAX))


def _visible(text: str) -> str:
    """Control characters as pictures, so that nothing hides: NUL as ␀, an override of direction as its number."""
    return "".join(
        ch if ch in "\n\t" or ch.isprintable() else chr(0x2400 + ord(ch)) if ord(ch) < 0x20 else f"\\u{ord(ch):04x}"
        for ch in text
    )


def _hex(body: bytes) -> str:
    rows = []
    for at in range(0, len(body), HEX_ROW):
        part = body[at : at + HEX_ROW]
        letters = "".join(chr(b) if 0x20 <= b < 0x7F else "·" for b in part)
        rows.append(f"{at:06x}  {part.hex(' '):<{HEX_ROW * 3 - 1}}  {letters}")
    return "\n".join(rows)


def _place(letter: DeadLetter) -> str:
    """Partition and offset; a request that never was in the log has a hash instead, which tells people nothing."""
    if letter.part < 0:
        return "outbox"
    return f"{letter.part}:{letter.offset}" if letter.offset < 10**15 else ""
