"""What does a notice look like in Microsoft Teams? An Adaptive Card 1.4 within 28 KB.

Text of leads stands in RichTextBlocks alone: their runs are plain text, so that no Markdown, link or mention can hide in a
name. Buttons only open pages: a Workflows card cannot call anybody.

Source: learn.microsoft.com, "Adaptive Cards in Workflows" (size 28 KB; Action.OpenUrl only).
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.notify.core.notice import Notice
from services.notify.core.words import DID, flat, heading_of, label_of, moment, path_of

BYTES_MAX: Final = 27_000
LINES_MAX: Final = 20
Card = dict[str, Any]


def message(
    notice: Notice, *, inbox_url: str, lead_url: str, note: str = "", again: bool = False, timezone: str = "UTC"
) -> Card:
    """The message about one notice, with times as the rep in `timezone` knows them."""
    body = [_text(heading_of(notice), 300, size="Medium", weight="Bolder", struck=not notice.open)]
    lines = (note, notice.note or "" if not notice.open else "", notice.why)
    body += [_text(line, 1000) for line in lines if line]
    for one in notice.what[-5:]:
        did = DID.get(one.signal, one.signal)
        body.append(_text(f"• {did} {path_of(one.url)}" if one.url else f"• {did}", 300))
    if notice.say is not None and notice.say.body and notice.open:
        body.append(_text("What to say", 100, weight="Bolder"))
        body += [_text(line, 400) for line in notice.say.body[:1500].splitlines()[:12] if line.strip()]
    body.append(_text(f"since {moment(notice.created_at, timezone)}", 100, subtle=True))
    if again:
        body.append(_text("This may have been sent before.", 100, subtle=True))
    return _wrapped(body, [("Open the lead", lead_url), ("Open the inbox", inbox_url)])


def digest(items: Sequence[Notice], *, inbox_url: str) -> Card:
    """What was held back, together, newest last."""
    body = [_text(f"{len(items)} notices while you were not to be disturbed", 200, size="Medium", weight="Bolder")]
    if len(items) > LINES_MAX:
        body.append(_text(f"… and {len(items) - LINES_MAX} before these", 100, subtle=True))
    body += [_text(f"{label_of(n.kind)}: {n.why}", 300) for n in items[-LINES_MAX:]]
    return _wrapped(body, [("Open the inbox", inbox_url)])


def _text(
    text: str,
    limit: int,
    *,
    size: str = "Default",
    weight: str = "Default",
    subtle: bool = False,
    struck: bool = False,
) -> Card:
    run = {
        "type": "TextRun",
        "text": flat(text, limit),
        "size": size,
        "weight": weight,
        "isSubtle": subtle,
        "strikethrough": struck,
    }
    return {"type": "RichTextBlock", "inlines": [run]}


def _wrapped(body: list[Card], links: Sequence[tuple[str, str]]) -> Card:
    while len(msgspec.json.encode(body)) > BYTES_MAX - 2000 and len(body) > 1:
        body.pop(-2 if len(body) > 2 else -1)
    actions = [{"type": "Action.OpenUrl", "title": title, "url": url} for title, url in links if 0 < len(url) < 1000]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": actions,
        "msteams": {"width": "Full"},
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "attachments": [attachment]}
