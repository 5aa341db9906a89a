"""Whose event is it? Identifiers as clients send them, trimmed, judged and ordered by strength."""

import re
from typing import Final

from schemas.messages import ID_KINDS, Identifier, IdKind
from services.directory.core.domains import email_domain, spelled
from services.ingest.core.limits import EMAIL_MAX, ID_MAX, BadItem

# What programs write when they have no id. One such "person" would gather the points of everybody.
PLACEHOLDERS: Final = frozenset(
    (
        "null", "(null)", "undefined", "none", "nil", "nan", "n/a", "na", "anonymous", "anon", "unknown", "guest",
        "visitor", "userid", "user_id", "user-id", "id", "default", "0", "-1", "-", "--", ".", "?", "*", "true",
        "false", "[object object]", "object", "{}", "[]", "not set", "(not set)", "not_set", "empty", "distinct_id", "not_authenticated",
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
    )
)  # fmt: skip
_PLACEHOLDER_MAX = max(map(len, PLACEHOLDERS))
# `test@test.com`: what people type to get past a form. The name of the box is also the name of the house.
_NOBODY: Final = frozenset(
    (
        "test", "asdf", "abc", "none", "null", "nobody", "undefined", "a", "aa", "x", "xx", "qwerty", "no", "na", "foo",
        "noemail", "no-email",
    )
)  # fmt: skip
_NO_BOX: Final = frozenset(("null", "undefined", "noemail", "no-email"))
# Nearly every address, at a third of the cost.
_PLAIN_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}+@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]", re.ASCII
)
_BOX = re.compile(r"[^\s@\"(),:;<>\[\]\\\x00-\x1f\x7f\ufffd]{1,64}")


def clean_email(text: str) -> str | None:
    """The address in its one spelling (`domains.spelled`), or None when it is none, or nobody's.

    Raises:
        BadItem: `email_too_long`; something of that size is no typing error.
    """
    text = text.strip()
    if len(text) > EMAIL_MAX:
        raise BadItem("email_too_long", f"an e-mail address of {len(text)} characters; at most {EMAIL_MAX} are allowed")
    text = text.removeprefix("mailto:").lower()
    if not text.isascii() or "xn--" in text:
        text = spelled(text)
        if email_domain(text) is None or _BOX.fullmatch(text.rpartition("@")[0]) is None:
            return None
    elif _PLAIN_EMAIL.fullmatch(text) is None:
        return None
    return None if blocked(text) else text


def blocked(email: str) -> bool:
    """Whether the address (lower case) is a known nobody: `test@test.com`, `null@…`."""
    box, _, house = email.partition("@")
    return box in _NOBODY and (box in _NO_BOX or house.partition(".")[0] == box)


def clean_id(value: object, field: str) -> str | None:
    """An id as text, or None when it is absent or empty.

    Raises:
        BadItem: `wrong_type`, `id_too_long`, `bad_characters`, `placeholder_id`.
    """
    if isinstance(value, str):
        text = value.strip()
    elif value is None:
        return None
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        text = str(int(value))
    else:
        raise BadItem("wrong_type", f"{field} must be a text, not {type(value).__name__}")
    if not text:
        return None
    if len(text) > ID_MAX:
        raise BadItem("id_too_long", f"{field} has {len(text)} characters; at most {ID_MAX} are allowed")
    if not text.isprintable() or "\ufffd" in text:
        raise BadItem("bad_characters", f"{field} holds characters that cannot be stored or told apart")
    if len(text) <= _PLACEHOLDER_MAX and text.casefold() in PLACEHOLDERS:
        raise BadItem("placeholder_id", f"{field} is {text!r}, which names nobody; leave the field out instead")
    return text


def identifiers(
    *,
    emails: tuple[object, ...],
    crm: object = None,
    user: object = None,
    anonymous: object = None,
    previous: object = None,
) -> list[Identifier]:
    """Every name of the person in one event, strongest first.

    Args:
        emails: Where an address may stand, most trusted first; the first good one counts. Others are not taken: two
            addresses in one event would make one person of two.
        user: The client's user id. When it is an address it is one more place for `emails`.
        previous: The id that an `alias` says is the same person: a user id, an address or an anonymous id, told apart
            by their looks; or an `Identifier`.

    Raises:
        BadItem: A given id is a placeholder, too long or of a wrong type; `bad_email` or `no_id` when nothing is left.
    """
    user_id = clean_id(user, "userId") if user is not None else None
    anonymous_id = clean_id(anonymous, "anonymousId") if anonymous is not None else None
    crm_id = clean_id(crm, "crmId") if crm is not None else None
    email, refused = None, None
    for candidate in emails:
        if isinstance(candidate, str) and candidate:
            email = clean_email(candidate)
            if email is not None:
                break
            refused = candidate
    if user_id is not None and "@" in user_id:
        as_email = clean_email(user_id)
        if as_email is not None and email in (None, as_email):
            email, user_id = as_email, None
        elif blocked(user_id.casefold()):
            raise BadItem("blocked_email", f"userId is {user_id!r}, an address that belongs to nobody")
    made: list[Identifier] = []
    if email is not None:
        made.append(Identifier(kind="email", value=email))
    if crm_id is not None:
        made.append(Identifier(kind="crm", value=crm_id))
    if user_id is not None:
        made.append(Identifier(kind="user", value=user_id))
    if anonymous_id is not None:
        made.append(Identifier(kind="anonymous", value=anonymous_id))
    if previous is not None:
        _add_previous(made, previous)
    if not made:
        if refused is not None:
            raise BadItem("bad_email", f"{refused[:80]!r} is no e-mail address of a person, and no other id is given")
        raise BadItem("no_id", "the event names nobody: give an e-mail address, userId or anonymousId")
    return made


def _add_previous(made: list[Identifier], previous: object) -> None:
    """Put the alias's other id in its place by strength. One that looks like a browser's own id is anonymous."""
    if isinstance(previous, Identifier):
        other = previous
    else:
        text = clean_id(previous, "previousId")
        if text is None:
            return
        email = clean_email(text) if "@" in text else None
        kind: IdKind = "email" if email else ("anonymous" if UUID_TEXT.fullmatch(text) else "user")
        other = Identifier(kind=kind, value=email or text)
    if other not in made:
        made.append(other)
        made.sort(key=lambda one: ID_KINDS.index(one.kind))


UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{32}")


def partition_key(ids: list[Identifier]) -> bytes:
    """The record's key: the strongest identifier as `kind:value`."""
    first = ids[0]
    return _KEY_HEADS[first.kind] + first.value.encode()


_KEY_HEADS: Final = {kind: f"{kind}:".encode() for kind in ID_KINDS}
