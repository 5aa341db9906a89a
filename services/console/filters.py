"""Values in the words of a page: how long ago, which day, whose letters. Pure; each is also a filter of the templates."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.policy.core.languages import LANGUAGES

MINUTE, HOUR, DAY = 60, 3600, 86_400
# Embeddings, overrides and isolates of Unicode's bidirectional text.
TURNING: Final = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def ago(at: datetime | str, now: datetime) -> str:
    """How long ago, as short as it gets: `just now`, `5 min ago`, `3 h ago`, `yesterday`, `4 days ago`."""
    seconds = (now - instant(at)).total_seconds()
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min ago"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h ago"
    days = int(seconds // DAY)
    return "yesterday" if days == 1 else f"{days} days ago"


def day(at: datetime | str, zone: str = "UTC") -> str:
    """The day: `24 Nov 2026`."""
    local = instant(at).astimezone(ZoneInfo(zone))
    return f"{local.day} {local:%b %Y}"


def clock(at: datetime | str, zone: str = "UTC") -> str:
    """Day and time: `Tue 24 Nov, 14:05`."""
    local = instant(at).astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b, %H:%M}"


def iso(at: datetime | str) -> str:
    """For `<time datetime>`."""
    return instant(at).isoformat(timespec="seconds")


def span(seconds: float) -> str:
    """A length of time: `4 s`, `12 min`, `3.5 h`, `2 days`."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.1f}".removesuffix(".0") + " h"
    return f"{seconds / DAY:.0f} days"


def initials(name: str) -> str:
    """At most two letters for the round picture."""
    words = [w for w in name.replace("@", " ").split() if w[0].isalnum()]
    return "".join(w[0].upper() for w in (words[:1] + words[1:][-1:])) or "?"


def plural(count: float, one: str, many: str | None = None) -> str:
    """`1 lead`, `2 leads`, `1,000 leads`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A message of ours as a sentence: a capital at its start, a full stop at its end; the words stay as they are."""
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in tuple('.!?') else '.'}" if text else ""


def upright(value: Any) -> Any:
    """A text without the characters that turn the direction of what stands beside it; other values as they are.

    Names and addresses come from strangers: one of U+202E in a name would turn round the whole line around it. Letters
    that run from right to left need none of them.
    """
    return value.translate(TURNING) if type(value) is str else value


def words(code: str) -> str:
    """A code as words: `ready_to_buy` → `ready to buy`."""
    return code.replace(".", " ").replace("_", " ")


def language_name(code: str) -> str:
    """A language by its name: `fi` → `Finnish`; a code that has none as it is."""
    return LANGUAGES.get(code, code)


def instant(at: datetime | str) -> datetime:
    """An aware time of a time or of its text."""
    if isinstance(at, datetime):
        return at
    found = datetime.fromisoformat(at)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "ago": ago,
    "day": day,
    "clock": clock,
    "iso": iso,
    "span": span,
    "initials": initials,
    "plural": plural,
    "sentence": sentence,
    "words": words,
    "language_name": language_name,
}
