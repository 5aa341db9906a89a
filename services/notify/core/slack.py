"""What does a notice look like in Slack? Block Kit within its limits; text of leads can neither mention nor link.

Source: docs.slack.dev, "Block Kit" (50 blocks, text 3000, header 150, button 75, value 2000, url 3000) and "Formatting text"
(`& < >` are the only characters to escape).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from services.notify.core.notice import Notice, ShownWhat
from services.notify.core.words import DID, company_of, heading_of, label_of, one_line, path_of, who_of

SECTION_MAX: Final = 3000
HEADER_MAX: Final = 150
URL_MAX: Final = 3000
VALUE_MAX: Final = 2000
# Undocumented: above about 13,200 characters of blocks Slack says msg_blocks_too_long.
BLOCKS_MAX: Final = 12_000
WHAT_LINES: Final = 5
DIGEST_LINES: Final = 20
COMMANDS: Final[dict[str, str]] = {"lr_accept": "I take it", "lr_decline": "Not now", "lr_snooze": "Snooze"}
ENTITIES: Final[dict[str, str]] = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
Blocks = list[dict[str, Any]]


class Pressed(msgspec.Struct, frozen=True, kw_only=True):
    """What a button carries: which offer of which lead, and to whom it was made."""

    notice: str
    lead: str
    offer: str
    gen: int
    rep: str


def escaped(text: str, limit: int = SECTION_MAX) -> str:
    """`text` as text: on one line, at most `limit` characters once escaped, nothing in it is a mention or a link."""
    flat = one_line(text)
    # An entity has up to five characters: whole ones are taken while they fit, with room for the dots.
    shown: list[str] = []
    room = limit
    for at, char in enumerate(flat):
        piece = ENTITIES.get(char, char)
        if len(piece) > room - (1 if at < len(flat) - 1 else 0):
            return "".join(shown) + "…"
        shown.append(piece)
        room -= len(piece)
    return "".join(shown)


def message(
    notice: Notice,
    *,
    inbox_url: str,
    lead_url: str,
    buttons: bool,
    note: str = "",
    again: bool = False,
) -> dict[str, Any]:
    """The message about one notice: `text` (what a notification shows) and `blocks`.

    Args:
        buttons: Somebody listens to them.
        note: Words of ours to put above.
        again: It may have been sent before.
    """
    title = heading_of(notice)
    if not notice.open:
        note = _ended(notice)
    blocks: Blocks = [_section(f"*{escaped(title, 600)}*" if notice.open else f"~{escaped(title, 600)}~")]
    if note:
        blocks.append(_section(escaped(note, 600)))
    if notice.open:
        blocks += _details(notice)
        blocks.append(_actions(notice, inbox_url, lead_url, buttons=buttons))
    small = [
        f"since <!date^{int(notice.created_at.timestamp())}^{{date_short_pretty}} {{time}}|{_at(notice.created_at)}>"
    ]
    if again:
        small.append("this may have been sent before")
    blocks.append({"type": "context", "elements": [_mrkdwn(" · ".join(small))]})
    return {"text": escaped(f"{title}. {note or notice.why}", 1000), "blocks": _bounded([b for b in blocks if b])}


def digest(items: Sequence[Notice], *, inbox_url: str) -> dict[str, Any]:
    """What was held back, together: a line each, newest last."""
    title = f"{len(items)} notices while you were not to be disturbed"
    lines: Blocks = []
    for notice in items[-DIGEST_LINES:]:
        who, company = who_of(notice.lead, notice.account), company_of(notice.account)
        line = f"{label_of(notice.kind)}: {who}, {company}. {notice.why}"
        lines.append(_section("• " + escaped(line, 400)))
    if len(items) > DIGEST_LINES:
        lines.insert(0, _section(f"… and {len(items) - DIGEST_LINES} before these"))
    head = {"type": "header", "text": {"type": "plain_text", "text": title[:HEADER_MAX]}}
    link = _button("Open the inbox", "lr_open", url=inbox_url) if inbox_url else None
    tail = [{"type": "actions", "elements": [link]}] if link else []
    return {"text": title, "blocks": _bounded([head, *lines, *tail])}


def _details(notice: Notice) -> Blocks:
    found = [_section(escaped(notice.why, 1000))] if notice.why else []
    lines = [f"• {_did(one)}" for one in notice.what[-WHAT_LINES:]]
    if lines:
        found.append(_section("\n".join(lines)))
    if notice.say is not None and notice.say.body:
        # Every line is quoted, so that nothing in the words looks like words of ours.
        body = [escaped(line, 400) for line in notice.say.body[:1500].splitlines()]
        found.append(_section("*What to say*\n" + "\n".join(f"> {line}" for line in body if line)))
    return found


def _did(what: ShownWhat) -> str:
    did = DID.get(what.signal, what.signal)
    who = f"{what.who}: " if what.who else ""
    return escaped(f"{who}{did} {path_of(what.url)}" if what.url else f"{who}{did}", 300)


def _ended(notice: Notice) -> str:
    words = {"claimed": "Taken", "recalled": "Withdrawn", "expired": "Over"}.get(notice.state, "Over")
    return notice.note or f"{words}."


def _actions(notice: Notice, inbox_url: str, lead_url: str, *, buttons: bool) -> dict[str, Any]:
    elements: list[dict[str, Any]] = []
    behind = notice.assignment
    if buttons and behind is not None and behind.state == "offered":
        pressed = Pressed(notice=notice.id, lead=notice.lead.id, offer=behind.id, gen=behind.gen, rep=notice.rep)
        value = msgspec.json.encode(pressed).decode()
        if len(value) <= VALUE_MAX:
            elements = [_button(label, action, value=value) for action, label in COMMANDS.items()]
            elements[0]["style"] = "primary"
    url = lead_url or inbox_url
    if url and len(url) <= URL_MAX:
        elements.append(_button("Open", "lr_open", url=url))
    return {"type": "actions", "elements": elements} if elements else {}


def _button(label: str, action: str, *, value: str | None = None, url: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": label}}
    if value is not None:
        made["value"] = value
    if url is not None:
        made["url"] = url
    return made


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: else Slack itself makes links and mentions of what merely looks like one, in a lead's name too.
    return {"type": "mrkdwn", "text": text[:SECTION_MAX], "verbatim": True}


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _bounded(blocks: Blocks) -> Blocks:
    """The blocks within Slack's sum: the longest section in the middle goes first."""
    while len(msgspec.json.encode(blocks)) > BLOCKS_MAX and len(blocks) > 2:
        middle = [b for b in blocks[1:] if b["type"] == "section"]
        if not middle:
            break
        blocks.remove(max(middle, key=lambda b: len(b["text"]["text"])))
    return blocks


def command_of(action: str) -> Literal["accept", "decline", "snooze"] | None:
    """What a pressed button asks for."""
    match action:
        case "lr_accept":
            return "accept"
        case "lr_decline":
            return "decline"
        case "lr_snooze":
            return "snooze"
        case _:
            return None


def pressed(value: str) -> Pressed | None:
    """What the button carried; None when it was none of ours."""
    try:
        return msgspec.json.decode(value, type=Pressed)
    except msgspec.MsgspecError:
        return None
