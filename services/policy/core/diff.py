"""What changed between two policies, in words that marketing and sales read."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from services.policy.core.compile import read_policy
from services.policy.core.words import number

# Lists whose items have a name of their own: compared by it, not by place.
_NAMED: Final = {"segments": "segment", "personas": "persona", "templates": "template", "cadences": "cadence"}
_UNITS: Final = ((604_800, "w"), (86_400, "d"), (3600, "h"), (60, "m"))
_DURATIONS: Final = frozenset(("half_life", "cooldown"))
_THINGS: Final = {
    "signals": "signal",
    "stages": "stage",
    "goals": "goal for",
    "spellings": "spelling",
    "cooldown": "cool-down after",
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `before` or `after` None: it was not there."""

    path: str
    text: str
    before: Any = None
    after: Any = None


def diff_policies(before: str, after: str) -> list[Change]:
    """Every change from one policy text to another; comments, order of keys and spelled-out defaults are no changes.

    Raises:
        PolicyError: One of the texts is no policy.
    """
    old, new = (read_policy(text)[1].model_dump(by_alias=True) for text in (before, after))
    found: list[Change] = []
    for part in old:
        if part in _NAMED:
            found += _named(part, old[part], new[part])
        else:
            found += _walk((part,), old[part], new[part])
    return found


def _named(part: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[Change]:
    """Changes of a list of named things, their order included."""
    ours, theirs = _by_name(part, old), _by_name(part, new)
    yield from _walk((part,), ours, theirs)
    kept = [name for name in ours if name in theirs]
    order = [name for name in theirs if name in ours]
    if kept != order:
        text = f"{part}: the order is now {', '.join(theirs)} (was {', '.join(ours)})"
        yield Change(path=part, text=text, before=list(ours), after=list(theirs))


def _by_name(part: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        if part == "templates":
            named = [str(item[key]) for key in ("segment", "persona", "stage", "language") if item[key]]
            name = ", ".join(named) or "for everybody"
        else:
            name = str(item.get("name") or item.get("role"))
        unique, count = name, 2
        while unique in found:
            unique, count = f"{name} ({count})", count + 1
        found[unique] = item
    return found


def _walk(path: tuple[str, ...], old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from _walk((*path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(path, old, new)
    elif old is None:
        yield Change(path=".".join(path), text=f"{_place(path)} added{_brief(path, new)}", after=new)
    elif new is None:
        yield Change(path=".".join(path), text=f"{_place(path)} removed{_brief(path, old)}", before=old)
    else:
        text = f"{_place(path)}: {_shown(path, old)} → {_shown(path, new)}"
        yield Change(path=".".join(path), text=text, before=old, after=new)


def _lists(path: tuple[str, ...], old: list[Any], new: list[Any]) -> Iterator[Change]:
    gone = [_shown(path, item) for item in old if item not in new]
    come = [_shown(path, item) for item in new if item not in old]
    words = [*(["added " + ", ".join(come)] if come else []), *(["removed " + ", ".join(gone)] if gone else [])]
    text = f"{_place(path)}: {'; '.join(words) or 'another order'}"
    yield Change(path=".".join(path), text=text, before=old, after=new)


def _place(path: tuple[str, ...]) -> str:
    """`signal email.clicked, points`."""
    first, *rest = path
    if rest and (first in _NAMED or first in _THINGS):
        thing = _NAMED.get(first) or _THINGS[first]
        first, rest = f"{thing} {rest[0]}", rest[1:]
    return ", ".join(word.replace("_", " ") if index else word for index, word in enumerate([first, *rest]))


def _brief(path: tuple[str, ...], value: Any) -> str:
    """The value of something that came or went, when it is short."""
    if isinstance(value, dict):
        set_to = [f"{key.replace('_', ' ')} {_shown((*path, key), v)}" for key, v in value.items() if _plain(v)]
        return f" ({', '.join(set_to[:4])})" if set_to else ""
    return f": {_shown(path, value)}"


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value not in ("", 0)


def _shown(path: tuple[str, ...], value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (path[-1] in _DURATIONS or path[0] in _DURATIONS):
        return _duration(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown((*path, key), v)}" for key, v in value.items())
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else text[:117] + "…"


def _duration(seconds: int) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds % size == 0), (1, "s"))
    if unit == "w" and seconds != 604_800:
        size, unit = 86_400, "d"
    return f"{seconds // size}{unit}"
