"""What is known of the person? The newest verified value of each trait wins, in whatever order they came."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

NAMES_MAX: Final = 64
TEXT_MAX: Final = 1000
ACCOUNT: Final = "account."
# Facts whose change may change fit, account or what a rep sees; compared without case and separators.
PERSON: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name", "fullname", "displayname"),
    "first": ("firstname", "givenname", "fname"),
    "last": ("lastname", "familyname", "surname", "lname"),
    "title": ("title", "jobtitle", "position", "role", "jobrole"),
    "phone": ("phone", "phonenumber", "mobile", "mobilephone", "telephone"),
    "country": ("country", "countrycode"),
    "language": ("language", "lang", "locale", "preferredlanguage"),
}


class Trait(msgspec.Struct, array_like=True, frozen=True):
    """One value, who vouches for it and when it was said (Unix ms)."""

    verified: bool
    at: int
    value: Any


Traits = dict[str, Trait]
_decoder: Final = msgspec.msgpack.Decoder(Traits)
_encoder: Final = msgspec.msgpack.Encoder()


def unpack(packed: bytes | None) -> Traits:
    """Traits as stored."""
    return _decoder.decode(packed) if packed else {}


def pack(traits: Traits) -> bytes | None:
    """Traits for storing."""
    return _encoder.encode(traits) if traits else None


def _order(trait: Trait) -> tuple[bool, int, bytes]:
    return trait.verified, trait.at, msgspec.json.encode(trait.value)


def learn(
    known: Traits, said: Mapping[str, Any] | None, account: Mapping[str, Any] | None, *, verified: bool, at: int
) -> bool:
    """Take what an event says into `known`, in place. Returns whether a value changed."""
    changed = False
    for name, value in _said(said, account):
        old = known.get(name)
        if old is not None and (old.verified, old.at) > (verified, at):
            continue
        new = Trait(verified, at, value)
        if old is None or _order(new) > _order(old):
            known[name] = new
            changed |= old is None or old.value != value
    while len(known) > NAMES_MAX:  # the same ones whatever the order: the last in the alphabet go
        del known[max(known)]
    return changed


def _said(said: Mapping[str, Any] | None, account: Mapping[str, Any] | None) -> Iterable[tuple[str, Any]]:
    for prefix, facts in (("", said), (ACCOUNT, account)):
        for name, value in (facts or {}).items():
            if (
                isinstance(value, Mapping)
                and prefix == ""
                and plain(name) in ("company", "organization", "organisation")
            ):
                yield from (pair for pair in _said(None, value))
            elif isinstance(value, str):
                if value.strip():
                    yield prefix + name[:100], value.strip()[:TEXT_MAX]
            elif isinstance(value, bool) or (isinstance(value, (int, float)) and abs(value) < 2**53):
                yield prefix + name[:100], value


def plain(name: str) -> str:
    """A trait's name without case and separators."""
    return "".join(sign for sign in name.lower() if sign.isalnum())


def merged(all_traits: Iterable[Traits]) -> dict[str, Any]:
    """Trait to the winning value over the members of a lead."""
    best: Traits = {}
    for traits in all_traits:
        for name, trait in traits.items():
            old = best.get(name)
            if old is None or _order(trait) > _order(old):
                best[name] = trait
    return {name: trait.value for name, trait in best.items()}


def person(values: Mapping[str, Any]) -> dict[str, str]:
    """name, title, phone, country and language out of the traits' many spellings."""
    if not values:
        return {}
    by_plain = {
        plain(name): value for name, value in sorted(values.items(), reverse=True) if not name.startswith(ACCOUNT)
    }
    found: dict[str, str] = {}
    for fact, spellings in PERSON.items():
        for spelling in spellings:
            value = by_plain.get(spelling)
            if isinstance(value, str) and value:
                found[fact] = value
                break
    first, last = found.pop("first", ""), found.pop("last", "")
    if "name" not in found and (first or last):
        found["name"] = f"{first} {last}".strip()
    return found


def company(values: Mapping[str, Any]) -> dict[str, Any]:
    """The traits as the directory reads them: what the event says of the account stands before the person's own words."""
    facts = {name: value for name, value in values.items() if not name.startswith(ACCOUNT)}
    facts.pop("name", None)
    for name, value in values.items():
        if name.startswith(ACCOUNT):
            field = name.removeprefix(ACCOUNT)
            facts = {k: v for k, v in facts.items() if plain(k) != plain(field)}
            facts["company" if plain(field) == "name" else field] = value
    return facts
