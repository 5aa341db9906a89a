"""Ortto's webhooks: one activity a request, or an array. Unsigned: Basic or a header repeats the secret.

Source: https://help.ortto.com/a-251-configuring-a-webhook
"""

from collections.abc import Iterable
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, crm, hook, meaning
from services.ingest.sources.signatures import shared_secret

# Ortto's own activities; a company's begin with `act:cm:` and carry its name for them.
TYPES: Final[Types] = {
    "act::s": None,
    "act::r": "email.delivered",
    "act::o": "email.opened",
    "act::c": "email.clicked",
    "act::b": "email.bounced",
    "act::u-all": "email.unsubscribed",
    "act::u": "email.unsubscribed",
    "act::es": None,
    "act::s-all": SUBSCRIBED,
}
_OWN: Final = "act:cm:"
_FIELDS: Final = {"str::first": "first_name", "str::last": "last_name", "str::name": "name", "phn::phone": "phone"}


def read(item: Item) -> Iterable[Seen | Told]:
    """One activity."""
    activity, contact = item.sub("activity"), item.sub("contact")
    kind = activity.needed("field_id")
    signal, told = meaning(kind, TYPES)
    own = kind.startswith(_OWN)
    if told is not None:
        if not own:
            yield told
        if kind in TYPES:
            return
    fields = {**contact.of, **contact.sub("fields").of}
    traits: dict[str, Any] = {_FIELDS.get(name, name): value for name, value in fields.items()}
    for name in ("contact_id", "id", "fields"):
        traits.pop(name, None)
    details = activity.sub("attr")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=(activity.first("name", "display_name") or kind.removeprefix(_OWN)) if signal is None else None,
        id=activity.text("id") or item.text("id"),
        time=activity.get("created") or item.get("time"),
        emails=(contact.get("email"), fields.get("str::email")),
        crm=crm("ortto", contact.first("contact_id", "id")),
        traits=traits,
        properties={"link": details.first("str::url", "str::link", "url")} if signal == "email.clicked" else details.of,
        campaign=details.text("str::campaign"),
        message_id=details.first("str::message", "str::cid"),
    )


PLATFORM: Final = hook("ortto", read, verify=shared_secret)
