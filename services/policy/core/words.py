"""What people call things: names of facts and signals in English sentences."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

_NOT_LETTERS = re.compile(r"[\W_]+")

# Path to (what is wrong when it should be true, what is wrong when it should be false).
YES_NO: Final[dict[str, tuple[str, str]]] = {
    "lead.known": ("we do not know yet who this is", "we know who this is"),
    "account.known": ("the company is not known", "the company is known"),
    "account.named": ("the company is not a named account", "the company is a named account"),
    "account.unlisted": ("the company is in the directory", "the company is not in the directory"),
    "person.role_mailbox": ("the address belongs to a person", "the address is a shared mailbox"),
}
NOUNS: Final[dict[str, str]] = {
    "engagement.score": "engagement",
    "fit.score": "fit score",
    "fit.grade": "fit grade",
    "account.domain": "the company's domain",
    "account.name": "the company's name",
    "account.industry": "industry",
    "account.employees": "number of employees",
    "account.country": "the company's country",
    "account.owner": "account owner",
    "account.matched_by": "the way the company was found",
    "persona.role": "the person's role",
    "persona.function": "the person's function",
    "persona.level": "the person's level",
    "person.title": "the person's title",
    "person.country": "the person's country",
    "person.language": "the person's language",
    "icp.roles": "a role that decides",
    "icp.industries": "our industries",
    "icp.countries": "our countries",
}
SIGNAL_NOUNS: Final[dict[str, str]] = {
    "email.delivered": "delivered e-mail",
    "email.opened": "e-mail open",
    "email.clicked": "e-mail click",
    "email.replied": "e-mail reply",
    "email.bounced": "bounced e-mail",
    "email.unsubscribed": "unsubscription",
    "email.complained": "spam complaint",
    "page.viewed": "page view",
    "form.submitted": "form",
    "demo.requested": "demo request",
    "content.downloaded": "download",
    "webinar.registered": "webinar registration",
    "webinar.attended": "attended webinar",
    "meeting.booked": "booked meeting",
    "meeting.canceled": "canceled meeting",
    "product.signed_up": "product sign-up",
    "person.identified": "identification",
    "person.deleted": "deletion",
    "account.updated": "company update",
    "deal.won": "won deal",
    "deal.lost": "lost deal",
}
WINDOWED: Final = re.compile(r"(?P<signal>.+)_(?P<days>[1-9]\d{0,2})d\Z")


def spelling_key(name: str) -> str:
    """A name without case and separators: `Email Opened`, `email_opened` and `emailOpened` are one."""
    return _NOT_LETTERS.sub("", name).casefold()


def signal_noun(name: str) -> str:
    """What people call one of a signal: the built-in noun, or the signal's name as words, singular."""
    if name in SIGNAL_NOUNS:
        return SIGNAL_NOUNS[name]
    words = name.replace("_", " ").replace(".", " ")
    return words[:-1] if words.endswith("s") and not words.endswith("ss") else words


def plural(noun: str) -> str:
    """The English plural, by its last word."""
    if re.search(r"[^aeiou]y\Z", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|z|ch|sh)\Z", noun) else "s")


def number(value: float, *, down: bool = False) -> str:
    """A number for people: one decimal at most, thousands with a comma.

    Args:
        down: Round towards the smaller number, so that 39.96 never reads as 40.
    """
    if not math.isfinite(value):
        return str(value)
    # A tenth of a millionth is float dust, not a difference.
    tenths = math.floor(value * 10 + 1e-6) if down else round(value * 10)
    return f"{tenths // 10:,}" if tenths % 10 == 0 else f"{tenths / 10:,.1f}"


def shown(value: Any) -> str:
    """A value in a sentence."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return str(value).replace("_", " ")


def alternatives(values: list[str]) -> str:
    """`A`, `A or B`, `A, B or C`."""
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def noun_of(path: str, labels: Mapping[str, str]) -> str:
    """What people call a fact."""
    if path in NOUNS:
        return NOUNS[path]
    counted = counted_of(path, labels)
    if counted is not None:
        noun, days = counted
        return f"number of {plural(noun)}" + (f" in the last {days} days" if days else "")
    return path.replace(".", " ").replace("_", " ")


def counted_of(path: str, labels: Mapping[str, str]) -> tuple[str, int] | None:
    """For a path of counted signals: what one is called, and the days of the window (0: none named)."""
    if not path.startswith("signals."):
        return None
    name = path.removeprefix("signals.")
    match = WINDOWED.match(name)
    if match and name not in labels:
        return labels.get(match["signal"]) or signal_noun(match["signal"]), int(match["days"])
    return labels.get(name) or signal_noun(name), 0
