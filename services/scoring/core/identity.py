"""Who is named? Identifiers as they travel become keys; names that mean nobody are told apart."""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from schemas.messages import ID_KINDS
from services.directory.core.domains import is_role_mailbox, spelled

KIND_NUMBER: Final[Mapping[str, int]] = {kind: number for number, kind in enumerate(ID_KINDS)}
EMAIL: Final = KIND_NUMBER["email"]
ANONYMOUS: Final = KIND_NUMBER["anonymous"]

VALUE_MAX: Final = 256  # characters; ids of real platforms stay below 128, an address below 254 (RFC 5321)
KEY_BYTES: Final = 16
NAMES_MAX: Final = 200_000  # identifiers remembered: about 60 MB

# What client code sends when it has no id. Compared in lower case.
PLACEHOLDERS: Final = frozenset(
    {
        "", "0", "-", "--", "n/a", "na", "nan", "nil", "none", "null", "undefined", "anonymous", "anonymousid", "anonymous_id",
        "unknown", "guest", "true", "false", "userid", "user_id", "[object object]", "00000000-0000-0000-0000-000000000000",
        "null@null.com", "none@none.com", "noemail@noemail.com", "undefined@undefined.com",
    }
)  # fmt: skip
_TEMPLATE = re.compile(r"\{\{.*\}\}|\$\{.*\}|\*\|.*\|\*|%[A-Za-z_]+%|\[\[.*\]\]")
_TEMPLATED = frozenset("{*%[")
_EMAIL = re.compile(
    r"[^\s@<>,;:\"()\[\]\\\x00-\x1f]+@[^\s@<>,;:\"()\[\]\\\x00-\x1f]+\.[^\s@.<>,;:\"()\[\]\\\x00-\x1f]+"
)


class Ident(msgspec.Struct, frozen=True, gc=False):
    """One usable identifier. `kind` indexes `ID_KINDS`: lower is stronger.

    Attributes:
        role: A mailbox that several people read (info@): it gives the account, not a person, and joins nobody.
    """

    kind: int
    value: str
    key: bytes
    strong: bool
    role: bool


def profile_key(kind: str, value: str) -> bytes:
    """The key of an identifier's profile: 16 bytes."""
    return blake2b(f"{kind}|{value}".encode(), digest_size=KEY_BYTES).digest()


def generation_key(value: str, generation: int) -> bytes:
    """The key of a cookie's profile after it passed to another person; generation 0 is the plain profile key."""
    if generation == 0:
        return profile_key("anonymous", value)
    return blake2b(f"anonymous|{value}\0{generation}".encode(), digest_size=KEY_BYTES).digest()


def is_placeholder(value: str) -> bool:
    """Whether the value means nobody: `null`, `undefined`, an unfilled template, and the like."""
    return value.lower() in PLACEHOLDERS or (not _TEMPLATED.isdisjoint(value) and _TEMPLATE.search(value) is not None)


class Names:
    """Remembers identifiers that it has seen, so that each is checked and hashed once.

    Args:
        most: So many are kept; then all are forgotten at once.
    """

    def __init__(self, most: int = NAMES_MAX) -> None:
        self._seen: dict[tuple[str, str], Ident | str] = {}
        self._most = most
        # What one or two identifiers, as an event names them, come to.
        self.groups: dict[tuple[str | int, ...], tuple[Ident, ...]] = {}

    def remember(self, named: tuple[str | int, ...], idents: tuple["Ident", ...]) -> None:
        """Keep what an event's identifiers come to."""
        if len(self.groups) >= self._most:
            self.groups.clear()
        self.groups[named] = idents

    def ident(self, kind: str, value: str) -> Ident | str:
        """The identifier, or the reason code why it is none."""
        found = self._seen.get((kind, value))
        if found is None:
            if len(self._seen) >= self._most:
                self._seen.clear()
            found = self._seen[kind, value] = _read(kind, value)
        return found


def _read(kind: str, raw: str) -> Ident | str:
    value = raw.strip()
    if kind == "email":
        value = spelled(value)
    if is_placeholder(value):
        return "placeholder_id"
    if len(value) > VALUE_MAX or "\0" in value or (kind == "email" and not _EMAIL.fullmatch(value)):
        return "bad_identifier"
    try:
        key = profile_key(kind, value)
    except UnicodeEncodeError:
        return "bad_identifier"
    number = KIND_NUMBER[kind]
    return Ident(number, value, key, number != ANONYMOUS, number == EMAIL and is_role_mailbox(value))


def strongest_first(idents: Sequence[Ident]) -> tuple[Ident, ...]:
    """Sorted by strength, then in the order given; repeated ones and browsers after the first are left out."""
    if len(idents) == 1:
        return (idents[0],)
    kept: list[Ident] = []
    for ident in sorted(idents, key=lambda one: one.kind):
        if all(ident.key != other.key for other in kept) and (
            ident.strong or not any(other.kind == ANONYMOUS for other in kept)
        ):
            kept.append(ident)
    return tuple(kept)
