"""What is a channel set to, and what does its form want to be another? Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from services.console.filters import sentence, words
from services.notify.channels.far import Field, Kind
from services.notify.core.delivery import KINDS
from services.notify.handler.endpoints import PLACES, Change
from services.notify.store.endpoints import Stored
from services.runtime.errors import BadMessage

KIND_WORDS: Final[Mapping[str, str]] = {
    "handover": "New leads to answer",
    "due": "Reminders and tasks",
    "visiting_now": "On the site now",
    "opened": "Opened a mail",
    "clicked": "Clicked or replied",
    "you_missed": "Missed while away",
}
# Names that say too little on a page.
LABELS: Final[Mapping[str, str]] = {
    "api": "Address of the API",
    "channel": "Slack channel",
    "users": "Who is who",
    "domain": "Address",
    "host": "SMTP server",
    "from": "Sender’s address",
    "from_name": "Sender’s name",
    "set_owner": "When the rep becomes the owner",
    "create_missing": "Make a person who is not there",
}
OPTION: Final = "option-"
KIND: Final = "kind-"
LONG: Final = 500


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One option or secret as a field of the form. A secret is never filled in."""

    name: str
    label: str
    text: str
    value: str
    required: bool
    secret: bool
    long: bool
    max_chars: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as its form shows it. `kinds`: code, words, chosen."""

    name: str
    feed: bool
    kinds: list[tuple[str, str, bool]]
    reps: str
    segments: str
    concurrency: str
    per_s: str
    options: list[Value]
    secrets: list[Value]


def settings_of(one: Stored, kind: Kind, sent: Mapping[str, str] | None = None) -> Settings:
    """What a channel is set to, or what was typed into its form and could not be taken."""
    typed = sent or {}
    options = [_value(field, typed.get(OPTION + field.name, one.options.get(field.name, ""))) for field in kind.fields]
    movable = any(field.name in PLACES and not field.secret for field in kind.fields)
    return Settings(
        name=typed.get("name", one.name),
        feed=typed["feed"] == "yes" if "feed" in typed else one.feed,
        kinds=[
            (code, KIND_WORDS.get(code, code), (KIND + code in typed) if sent is not None else code in one.kinds)
            for code in KINDS
        ],
        reps=typed.get("reps", ", ".join(one.reps)),
        segments=typed.get("segments", ", ".join(one.segments)),
        concurrency=typed.get("concurrency", str(one.concurrency)),
        per_s=typed.get("per_s", f"{one.per_s:g}"),
        options=[value for value in options if not value.secret],
        # They are only asked for where an option says to whom they go.
        secrets=[msgspec.structs.replace(value, value="") for value in options if value.secret and movable],
    )


def change_of(kind: Kind, sent: Mapping[str, str]) -> Change:
    """What the form asks for.

    Raises:
        BadMessage: `invalid`: a number is none.
    """
    values = {field.name: sent.get(OPTION + field.name, "").strip() for field in kind.fields}
    return Change(
        name=sent.get("name", ""),
        values={
            field.name: values[field.name]
            for field in kind.fields
            if OPTION + field.name in sent and (values[field.name] or not field.secret)
        },
        feed=sent.get("feed") == "yes",
        kinds=[code for code in KINDS if KIND + code in sent],
        reps=_names(sent.get("reps", "")),
        segments=_names(sent.get("segments", "")),
        concurrency=_whole(sent, "concurrency", "Messages at a time"),
        per_s=_number(sent, "per_s", "Messages a second"),
    )


def _value(field: Field, value: str) -> Value:
    return Value(
        name=OPTION + field.name,
        label=LABELS.get(field.name) or sentence(words(field.name)).removesuffix("."),
        # A word gets its capital; what is to be written as it stands does not.
        text=sentence(field.text).removesuffix(".") if field.text.split()[0].isalpha() else field.text,
        value=value,
        required=field.required and not field.secret,
        secret=field.secret,
        long=field.max_chars > LONG and not field.secret and field.name not in PLACES,
        max_chars=field.max_chars,
    )


def _number(sent: Mapping[str, str], name: str, label: str) -> float:
    try:
        return float(sent.get(name, ""))
    except ValueError as error:
        msg = f"{label}: write a number"
        raise BadMessage(msg, code="invalid") from error


def _whole(sent: Mapping[str, str], name: str, label: str) -> int:
    number = _number(sent, name, label)
    if not number.is_integer():
        msg = f"{label}: write a whole number"
        raise BadMessage(msg, code="invalid")
    return int(number)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
