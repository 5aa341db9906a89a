"""Mailchimp Marketing's audience webhooks: a form, unsigned; put a secret into the address (`?secret=…`).

It tells who joined, left, changed or bounced. It never tells opens, clicks or visits.

Source: https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import Item, Told, Types, form_item, hook, joined, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "subscribe": "person.identified",
    "profile": "person.identified",
    "upemail": "person.identified",
    "unsubscribe": "email.unsubscribed",
    "cleaned": "email.bounced",
    "campaign": None,
}
_MERGES: Final = {"FNAME": "first_name", "LNAME": "last_name"}


def read(item: Item) -> Iterable[Seen | Told]:
    """One change of an audience."""
    kind = item.needed("type")
    signal, told = meaning(kind, TYPES)
    if told is not None:
        yield told
        if kind in TYPES:
            return
    data = item.sub("data")
    if signal in ("email.bounced", "email.unsubscribed") and data.text("reason") == "abuse":
        signal = "email.complained"
    merges = data.sub("merges")
    email = data.first("new_email", "email")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(kind, item.text("fired_at"), data.first("id", "new_id"), data.text("list_id"), email),
        time=item.get("fired_at"),  # UTC, though it does not say so
        emails=(email, merges.get("EMAIL")),
        previous=data.text("old_email"),
        traits={_MERGES.get(name, name): value for name, value in merges.of.items()},
        ip=data.text("ip_opt") or data.get("ip_signup"),
        campaign=data.text("campaign_id"),
        message_id=data.text("campaign_id"),
    )


PLATFORM: Final = hook("mailchimp", read, split=form_item, verify=shared_secret)
