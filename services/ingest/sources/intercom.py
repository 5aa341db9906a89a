"""Intercom's webhooks: one notification a request, signed with SHA-1 over the raw body.

Source: https://developers.intercom.com/docs/webhooks
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, crm, hook, ident, joined, meaning
from services.ingest.sources.signatures import over_body

# Topics without the words for the kind of contact, which older versions put in: `contact.user.created`.
TYPES: Final[Types] = {
    "ping": None,
    "contact.created": "person.identified",
    "contact.updated": "person.identified",
    "contact.added_email": "person.identified",
    "contact.email.updated": "person.identified",
    "contact.merged": "person.identified",
    "contact.signed_up": "product.signed_up",
    "contact.subscribed": SUBSCRIBED,
    "contact.unsubscribed": "email.unsubscribed",
    "contact.deleted": "person.deleted",
    "contact.archived": None,
    "contact.tag.created": None,
    "contact.tag.deleted": None,
    "contact.attribute.updated": "person.identified",
    "visitor.signed_up": "product.signed_up",
    "conversation.created": "conversation_started",
    "conversation.replied": "email.replied",
}


def _topic(topic: str) -> str:
    parts = topic.split(".")
    if parts[0] in ("user", "lead"):
        parts[0] = "contact"
    return ".".join([parts[0], *(part for part in parts[1:] if part not in ("user", "lead"))])


def read(item: Item) -> Iterable[Seen | Told]:
    """One notification."""
    given = item.needed("topic")
    topic = _topic(given)
    signal, told = meaning(topic, TYPES)
    if topic.startswith("conversation") and topic not in TYPES:
        yield Told(given)  # what the staff did
        return
    if told is not None:
        yield Told(given)
        if topic in TYPES:
            return
    about = item.sub("data", "item")
    contact = _contact(about)
    attributes = contact.sub("custom_attributes")
    company = Item(next(iter(contact.list("companies", "companies")), None))
    traits: dict[str, Any] = {name: value for name, value in attributes.of.items() if not isinstance(value, Mapping)}
    traits |= {
        "name": contact.get("name"),
        "phone": contact.get("phone"),
        "company": company.text("name"),
        "country": contact.text("location_data", "country_name") or contact.text("location", "country"),
    }
    ip = contact.get("last_seen_ip")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=given if signal is None else None,
        id=item.text("id") or joined(given, contact.get("id"), item.get("created_at")),
        time=item.get("created_at"),
        emails=(contact.get("email"),),
        user=ident(contact.first("external_id", "user_id")),
        crm=crm("intercom", item.get("app_id"), contact.get("id")),
        traits={name: value for name, value in traits.items() if value is not None},
        ip=ip if signal in (SUBSCRIBED, "product.signed_up") else None,
    )


def _contact(about: Item) -> Item:
    """The contact: the item itself, or whom a conversation is with."""
    if about.text("type") == "conversation":
        author = about.sub("source", "author")
        first = Item(next(iter(about.list("contacts", "contacts")), None))
        user = about.sub("user")
        known = [one for one in (author, user, first) if one.of and one.text("type") not in ("admin", "bot", "team")]
        merged: dict[str, Any] = {}
        for one in known:
            merged = {**one.of, **merged}
        return Item(merged)
    inner = about.sub("contact")
    return inner if inner.of else about


PLATFORM: Final = hook("intercom", read, verify=over_body("X-Hub-Signature", "sha1", "hex", "sha1="))
