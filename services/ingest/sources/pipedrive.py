"""Pipedrive's webhooks, version 1 and 2: persons and deals. Unsigned: Basic, set where the webhook is made.

Source: https://pipedrive.readme.io/docs/guide-for-webhooks-v2
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import Item, Told, crm, hook, joined
from services.ingest.sources.signatures import shared_secret

_STATUS: Final = {"won": "deal.won", "lost": "deal.lost"}
_GONE: Final = ("delete", "deleted")


def read(item: Item) -> Iterable[Seen | Told]:
    """One change."""
    meta = item.sub("meta")
    about, action = meta.first("entity", "object") or meta.needed("entity"), meta.needed("action")
    current = item.sub("data") if item.get("data") is not None else item.sub("current")
    before = item.sub("previous")
    company = meta.get("company_id")
    number = meta.first("entity_id", "id") if about == "person" else None
    time = meta.first("timestamp") or current.first("update_time")
    if about == "deal":
        status = current.text("status") or ""
        signal = _STATUS.get(status)
        # v1 sends the whole earlier deal, v2 only what changed.
        same = before.get("status") == status or ("status" not in before.of and bool(before.of))
        if signal is None or (same and action not in ("added", "create")):
            yield Told(f"{action}.{about}")
            return
        deal = meta.text("entity_id") or current.text("id") or meta.text("id")
        won = current.first("won_time", "lost_time", "close_time", "update_time")
        yield Seen(
            raw=item.raw,
            signal=signal,
            id=joined(company, "deal", deal, status, won or time),
            time=won or time,
            emails=_emails(current.get("person_id")),
            crm=crm("pipedrive", company, _number(current.get("person_id")) or f"deal-{deal}"),
            traits={"name": current.get("person_name"), "company": current.get("org_name")},
        )
        return
    if about != "person":
        yield Told(f"{action}.{about}")
        return
    gone = action in _GONE
    who = before if gone and not current.of else current
    yield Seen(
        raw=item.raw,
        signal="person.deleted" if gone else "person.identified",
        id=joined(company, "person", number, action, time),
        time=time,
        emails=(*_emails(who.of), *_listed(who.get("emails")), *_listed(who.get("email"))),
        crm=crm("pipedrive", company, number),
        traits={
            "name": who.get("name"),
            "first_name": who.get("first_name"),
            "last_name": who.get("last_name"),
            "title": who.get("job_title"),
            "company": who.get("org_name"),
            "phone": next(iter(_listed(who.get("phones") or who.get("phone"))), None),
        },
    )


def _number(person: object) -> object:
    """A person as a number, or as the object that some deals carry."""
    return Item(person).get("value") if isinstance(person, Mapping) else person


def _emails(person: object) -> tuple[Any, ...]:
    return _listed(Item(person).get("email"))


def _listed(values: object) -> tuple[Any, ...]:
    """`[{"value": …, "primary": true}]` with the primary one first, or a plain text."""
    if not isinstance(values, list):
        return (values,) if isinstance(values, str) else ()
    entries = sorted(map(Item, values), key=lambda one: not one.flag("primary"))
    return tuple(entry.get("value") for entry in entries)


PLATFORM: Final = hook("pipedrive", read, verify=shared_secret)
