"""Close's webhooks: changes of leads, contacts and opportunities, signed over time stamp and body.

Source: https://developer.close.com/topics/webhooks/
"""

import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.base import Arrival
from services.ingest.sources.hooks import Item, Told, crm, hook, joined
from services.ingest.sources.signatures import MISMATCH, same

_STATUS: Final = {"won": "deal.won", "lost": "deal.lost"}


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `Close-Sig-Hash`: hex HMAC-SHA256 over time stamp and body. The key is written in hex."""
    given, stamp = arrival.headers.get("close-sig-hash", ""), arrival.headers.get("close-sig-timestamp", "")
    if not given or not stamp:
        return "the headers Close-Sig-Hash and Close-Sig-Timestamp are needed"
    matches = False
    for secret in secrets:
        try:
            key = bytes.fromhex(secret)
        except ValueError:
            key = secret.encode()
        made = hmac.digest(key, stamp.encode("utf-8", "replace") + arrival.raw, "sha256").hex()
        matches |= same(given.strip().lower(), made)
    return None if matches else MISMATCH


def read(item: Item) -> Iterable[Seen | Told]:
    """One change."""
    event = item.sub("event")
    about, action = event.needed("object_type"), event.needed("action")
    kind, data = f"{about}.{action}", event.sub("data")
    signal, who = None, data
    if about == "opportunity" and (action == "created" or "status_type" in event.list("changed_fields")):
        signal = _STATUS.get(data.text("status_type") or "")
    elif about == "contact":
        signal = "person.deleted" if action == "deleted" else "person.identified"
        who = event.sub("previous_data") if action == "deleted" and not data.of else data
    elif about == "activity.email" and data.text("direction") in ("incoming", "inbound"):
        signal = "email.replied" if action == "created" else None
    if signal is None:
        yield Told(kind)
        return
    contact = event.get("object_id") if about == "contact" else data.get("contact_id")
    yield Seen(
        raw=item.raw,
        signal=signal,
        id=event.get("id") or joined(kind, event.get("object_id"), event.get("date_updated")),
        time=event.get("date_created"),
        emails=_emails(who) or (data.get("sender"),),
        crm=crm("close", contact) or crm("close", data.get("lead_id") or event.get("lead_id")),
        traits=_traits(about, who),
    )


def _emails(who: Item) -> tuple[Any, ...]:
    return tuple(Item(one).get("email") for one in who.list("emails"))


def _traits(about: str, who: Item) -> dict[str, Any]:
    if about != "contact":
        return {"name": who.get("contact_name"), "company": who.get("lead_name")}
    phone = Item(next(iter(who.list("phones")), None)).get("phone")
    return {"name": who.text("name") or who.get("display_name"), "title": who.get("title"), "phone": phone}


PLATFORM: Final = hook("close_crm", read, verify=verify)
