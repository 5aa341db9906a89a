"""HubSpot: app webhooks (v3 signature), workflow webhooks with a whole contact, and deal stages.

An app webhook names its contact only by an object id: the event is kept under the CRM id `hubspot:<portal>:<object>`.
`api_path` says where the contact can be looked up; `handler/enrich.py` does so for sources that have an API token.

Source: https://developers.hubspot.com/docs/api/webhooks
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from schemas.messages import Identifier
from services.ingest.core.mapping import Seen
from services.ingest.sources.base import Arrival
from services.ingest.sources.hooks import Item, Told, Types, crm, hook, joined, list_in, meaning, moment
from services.ingest.sources.signatures import MISMATCH, any_fits, shared_secret, within

TOLERANCE_S: Final = 300
TEST_EVENT: Final = "100"  # what the "test" button sends, about a contact that does not exist
# Only these are decoded before signing: %3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B.
_DECODED = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
# `object.*` of newer apps says by number what it is about.
_OBJECTS: Final = {"0-1": "contact", "0-2": "company", "0-3": "deal"}
_DEED: Final[Types] = {
    "creation": "person.identified",
    "restore": "person.identified",
    "merge": "person.identified",
    "deletion": "person.deleted",
    "privacyDeletion": "person.deleted",
    "associationChange": None,
}
# Contact properties that record a deed; of each only the last is kept by HubSpot, so several collapse into one.
_PROPERTIES: Final[Types] = {
    "hs_email_last_open_date": "email.opened",
    "hs_email_last_click_date": "email.clicked",
    "hs_email_last_reply_date": "email.replied",
    "hs_sales_email_last_opened": "email.opened",
    "hs_sales_email_last_clicked": "email.clicked",
    "hs_sales_email_last_replied": "email.replied",
    "hs_analytics_last_visit_timestamp": "page.viewed",
    "hs_analytics_last_url": "page.viewed",
    "recent_conversion_event_name": "form.submitted",
    "hs_email_optout": "email.unsubscribed",
    "hs_email_hard_bounce_reason_enum": "email.bounced",
    "hs_analytics_num_page_views": None,
    "hs_analytics_num_visits": None,
    "hs_analytics_last_timestamp": None,
    "num_conversion_events": None,
    "recent_conversion_date": None,
    "hs_email_open": None,
    "hs_email_click": None,
    "hs_email_delivered": None,
}
# Types of the mail events that HubSpot's API lists (`/email/public/v1/events`), for whoever polls it and posts the page.
_MAIL: Final[Types] = {
    "SENT": None,
    "PROCESSED": None,
    "DEFERRED": None,
    "DROPPED": None,
    "PRINT": None,
    "FORWARD": "email_forwarded",
    "DELIVERED": "email.delivered",
    "OPEN": "email.opened",
    "CLICK": "email.clicked",
    "BOUNCE": "email.bounced",
    "SPAMREPORT": "email.complained",
    "STATUSCHANGE": None,
}
_STAGES: Final = {"closedwon": "deal.won", "closedlost": "deal.lost"}
HIDDEN: Final = "REDACTED"
STAMP = re.compile(r"[0-9]{1,15}", re.ASCII)  # milliseconds, as number or text


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `X-HubSpot-Signature-v3`. A workflow's webhook signs nothing usable: it repeats the secret in a header.

    v1 and v2 are plain hashes without a key and prove nothing; they are not accepted.
    """
    given = arrival.headers.get("x-hubspot-signature-v3", "")
    if not given:
        return shared_secret(arrival, secrets)
    stamp = arrival.headers.get("x-hubspot-request-timestamp", "")
    if not within(stamp, arrival.received_at.timestamp(), TOLERANCE_S, 1000):
        return f"X-HubSpot-Request-Timestamp is more than {TOLERANCE_S} s away from now"
    url = _DECODED.sub(lambda found: chr(int(found.group(1), 16)), arrival.url)
    content = (arrival.method + url).encode("utf-8", "replace") + arrival.raw + stamp.encode()
    return None if any_fits(given, secrets, content, "sha256", "base64") else MISMATCH


def api_path(identifier: str) -> str | None:
    """Where HubSpot's API shows the contact of an identifier of ours, or None when it is no contact."""
    found = re.fullmatch(r"hubspot:\d+:(\d+)", identifier)
    return f"/crm/v3/objects/contacts/{found.group(1)}?properties=email,firstname,lastname,company,jobtitle" if found else None  # fmt: skip


def read(item: Item) -> Iterable[Seen | Told]:
    """One event of an app, or the contact of a workflow."""
    if item.get("subscriptionType") is not None:
        return _app(item)
    if item.get("recipient") is not None and item.get("type") is not None:
        return _mail(item)
    if item.get("vid") is not None or item.get("properties", "email") is not None:
        return _contact(item)
    return _own_body(item)


def _app(item: Item) -> Iterable[Seen | Told]:
    given = item.needed("subscriptionType")
    about, _, deed = given.partition(".")
    if about == "object":
        number = item.text("objectTypeId") or ""
        about = _OBJECTS.get(number, f"object {number}")
    portal, number = item.get("portalId"), item.get("objectId")
    if item.text("eventId") == TEST_EVENT:
        yield Told(f"{given} test")
        return
    name, value = item.text("propertyName"), item.get("propertyValue")
    common: dict[str, Any] = {
        "id": joined(portal, item.get("subscriptionId"), item.get("eventId"), number, item.get("occurredAt"), name),
        "time": item.get("occurredAt"),
    }
    if about == "deal":
        signal = _STAGES.get(value.casefold()) if name == "dealstage" and isinstance(value, str) else None
        if signal is None:
            yield Told(f"{given} {name}" if name else given)
            return
        yield Seen(raw=item.raw, signal=signal, crm=crm("hubspot", portal, "0-3", number), **common)
        return
    person = crm("hubspot", portal, number)
    if about == "contact" and deed == "propertyChange":
        yield from _changed(item, person, name, value, common)
        return
    signal = _DEED.get(deed) if about == "contact" else None
    if signal is None:
        yield Told(given)
        if about == "contact" and deed not in _DEED:
            yield Seen(raw=item.raw, name=given, crm=person, **common)
        return
    merged = [crm("hubspot", portal, other) for other in item.list("mergedObjectIds")] if deed == "merge" else []
    primary = crm("hubspot", portal, item.get("newObjectId") or item.get("primaryObjectId")) or person
    others: list[str | None] = [one for one in merged if one and one != primary]
    for other in others or [None]:
        yield Seen(
            raw=item.raw,
            signal=signal,
            crm=primary,
            previous=Identifier(kind="crm", value=other) if other else None,
            **{**common, "id": joined(common["id"], other) if other else common["id"]},
        )


def _changed(
    item: Item, person: str | None, name: str | None, value: object, common: Mapping[str, Any]
) -> Iterable[Seen | Told]:
    """A contact's property: a deed, or a new fact."""
    if name is not None and name in _PROPERTIES:
        signal = _PROPERTIES[name]
        if signal is None or (name == "hs_email_optout" and value not in ("true", True)):
            yield Told(f"contact.propertyChange {name}")
            return
        deed_at = moment(value) if name.endswith(("_date", "_timestamp", "_opened", "_clicked", "_replied")) else None
        yield Seen(
            raw=item.raw,
            signal=None if signal == "form.submitted" else signal,
            otherwise=signal,
            name=value if signal == "form.submitted" else None,
            crm=person,
            properties={"url": value} if name == "hs_analytics_last_url" else None,
            **{**common, "time": deed_at or common["time"]},
        )
        return
    known = name is not None and isinstance(value, str) and value != HIDDEN and not item.flag("isSensitive")
    yield Seen(
        raw=item.raw,
        signal="person.identified",
        crm=person,
        emails=(value,) if known and name == "email" else (),
        traits={str(name): value} if known else None,
        **common,
    )


def _mail(item: Item) -> Iterable[Seen | Told]:
    """One mail event of a polled page. `filteredEvent`: HubSpot takes it for a machine's."""
    kind = item.needed("type")
    signal, told = meaning(kind, _MAIL)
    if kind == "STATUSCHANGE" and item.text("portalSubscriptionStatus") == "UNSUBSCRIBED":
        signal, told = "email.unsubscribed", None
    if told is not None:
        yield told
        if kind in _MAIL:
            return
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(item.text("id"), item.get("created")),
        time=item.get("created"),
        emails=(item.get("recipient"),),
        properties={"link": item.get("url")} if signal == "email.clicked" else None,
        ip=item.get("ipAddress"),
        user_agent=item.get("userAgent"),
        message_id=item.text("sentBy", "id") or item.text("emailCampaignId"),
        campaign=item.first("emailCampaignGroupId", "emailCampaignId"),
        actor="machine" if item.flag("filteredEvent") else None,
    )


def _contact(item: Item) -> Iterable[Seen | Told]:
    """A whole contact record: contact v1 (`{"value": …}`), or the newer plain one."""
    portal, number = item.get("portal-id"), item.first("canonical-vid", "vid", "id", "hs_object_id")
    traits: dict[str, Any] = {}
    latest = 0
    for name, held in item.sub("properties").of.items():
        one = Item(held)
        value = one.get("value") if isinstance(held, Mapping) else held
        stamps = [Item(version).text("timestamp") or "" for version in one.list("versions")]
        latest = max([latest, *(int(stamp) for stamp in stamps if STAMP.fullmatch(stamp))])
        if value not in (None, "", HIDDEN) and not name.startswith(("hs_", "num_")):
            traits[name] = value
    profiles = [Item(profile) for profile in item.list("identity-profiles")]
    known = [Item(one) for profile in profiles for one in profile.list("identities")]
    emails = [one.get("value") for one in known if one.text("type") == "EMAIL"]
    yield Seen(
        raw=item.raw,
        signal="person.identified",
        id=joined("contact", portal, number, latest or traits.get("lastmodifieddate")),
        time=latest or None,
        crm=crm("hubspot", portal, number),
        emails=(traits.get("email"), *emails),
        traits=traits,
    )


def _own_body(item: Item) -> Iterable[Seen | Told]:
    """What an operator put together in a workflow: flat fields, as named there."""
    name = item.first("event", "event_name", "type")
    yield Seen(
        raw=item.raw,
        signal=None if name else "person.identified",
        name=name,
        id=item.first("event_id", "id"),
        time=item.first("timestamp", "occurred_at", "time"),
        emails=(item.get("email"),),
        crm=crm("hubspot", item.get("portalId") or item.get("portal_id"), item.first("hs_object_id", "vid")),
        traits=item.of,
        properties=item.of,
    )


PLATFORM: Final = hook("hubspot", read, split=list_in("events"), verify=verify)
