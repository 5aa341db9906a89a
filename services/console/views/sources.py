"""How is a source doing? Its state in a word, its rate, its last events. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from services.console.filters import ago, instant, plural, span, words

QUIET_AFTER: Final = timedelta(days=2)
MANY_REFUSED: Final = 0.2
MARKS: Final = re.compile(r"`([^`]*)`|\*([^*]+)\*")
BAD_SIGNATURE: Final = "bad_signature"


class Seen(msgspec.Struct, frozen=True):
    """One of the last events. `bad`: it was refused before it was read."""

    words: str
    at: datetime
    bad: bool


class SourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A source as the list shows it. `state` is one of good, now, bad, off."""

    id: str
    name: str
    platform: str
    publishable: bool
    disabled: bool
    signed: bool
    state: str
    said: str
    last: datetime | None
    rate: str
    accepted: int
    rejected: int
    share: float
    recent: list[Seen]


def source_row(source: Mapping[str, Any], now: datetime) -> SourceRow:
    """One source."""
    recent = [
        Seen(
            "signature refused" if one["signal"] == BAD_SIGNATURE else words(one["signal"]),
            instant(one["at"]),
            one["signal"] == BAD_SIGNATURE,
        )
        for one in source["recent"]
    ]
    accepted, rejected = source["accepted"], source["rejected"]
    share = rejected / (accepted + rejected) if accepted + rejected else 0.0
    state, said = _state(source, recent, share, now)
    return SourceRow(
        id=source["id"],
        name=source["name"],
        platform=source["platform"],
        publishable=source["publishable"],
        disabled=source["disabled"],
        signed=source["signed"],
        state=state,
        said=said,
        last=source["seen_at"],
        rate=rate([one.at for one in recent if not one.bad], now),
        accepted=accepted,
        rejected=rejected,
        share=share,
        recent=recent,
    )


def marked(text: str) -> list[tuple[str, str]]:
    """Words of the set-up as pieces: `code` between backticks, `strong` between stars, else `text`."""
    found = []
    for index, part in enumerate(MARKS.split(text)):
        if part:
            kind = ("text", "code", "strong")[index % 3]
            found.append((kind, part))
    return found


def rate(times: Sequence[datetime], now: datetime) -> str:
    """How often events come, from the last few of them; empty when there are too few to say."""
    if len(times) < 2:
        return ""
    length = max((now - times[-1]).total_seconds(), 1.0)
    per_hour = len(times) / length * 3600
    if per_hour >= 3600:
        return f"about {per_hour / 3600:,.0f} a second"
    if per_hour >= 60:
        return f"about {per_hour / 60:,.0f} a minute"
    if per_hour >= 1:
        return f"about {per_hour:,.0f} an hour"
    return f"about one in {span(3600 / per_hour)}"


def _state(source: Mapping[str, Any], recent: Sequence[Seen], share: float, now: datetime) -> tuple[str, str]:
    if source["disabled"]:
        return "off", "disabled"
    if recent and recent[0].bad:
        bad = sum(1 for one in recent if one.bad)
        return "bad", f"signature refused, {plural(bad, 'time')} of the last {len(recent)}"
    seen = source["seen_at"]
    if seen is None:
        return "now", "waiting for its first event"
    if share > MANY_REFUSED:
        return "bad", f"{share:.0%} refused"
    if now - seen > QUIET_AFTER:
        return "now", f"quiet since {ago(seen, now)}"
    return "good", "events come in"
