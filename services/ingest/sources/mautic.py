"""Mautic's webhooks: several types of events in one body, signed over PHP's own bytes.

There is no click event: a click is a page hit with a redirect that came from an e-mail.

Source: https://docs.mautic.org/en/5.x/webhooks/index.html
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from services.ingest.core.limits import TEXT_MAX
from services.ingest.core.mapping import Seen
from services.ingest.sources.base import Arrival, BadBody, decode_body
from services.ingest.sources.hooks import Item, Told, Types, crm, hook, ident, joined, meaning
from services.ingest.sources.signatures import over_body

TYPES: Final[Types] = {
    "email_on_open": "email.opened",
    "email_on_send": None,
    "page_on_hit": "page.viewed",
    "form_on_submit": "form.submitted",
    "lead_post_save_new": "person.identified",
    "lead_post_save_update": "person.identified",
    "lead_points_change": "person.identified",
    "lead_post_delete": "person.deleted",
    "lead_channel_subscription_changed": "email.unsubscribed",
    "lead_company_change": None,
    "text_on_send": None,
}
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def split(arrival: Arrival) -> Sequence[bytes]:
    """Each event of each type, with its type and the address of the installation."""
    origin = arrival.headers.get("x-origin-base-url", "")[:TEXT_MAX]
    made: list[bytes] = []
    for name, raw in decode_body(_members, arrival.body).items():
        if not name.startswith("mautic."):
            continue  # beside the events stands the time of the request
        try:
            events: Sequence[msgspec.Raw] = _list.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            events = (raw,)
        made += [msgspec.json.encode({"type": name, "origin": origin, "event": event}) for event in events]
    if not made:
        raise BadBody("wrong_shape", "the body names no event of Mautic (`mautic.…`)")
    return made


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    kind = item.needed("type").removeprefix("mautic.")
    event = item.sub("event")
    signal, told = meaning(kind, TYPES)
    if kind == "lead_channel_subscription_changed":
        status = event.text("new_status") if event.text("channel") in (None, "email") else "contactable"
        signal = None if status in ("contactable", "1") else "email.unsubscribed"
        if status == "bounced":
            signal = "email.bounced"
        told = None if signal else Told(kind)
    if told is not None:
        yield told
        if kind in TYPES:
            return
    if kind == "email_on_open":
        yield _opened(item, event.sub("stat"), event)
    elif kind == "page_on_hit":
        yield _hit(item, event.sub("hit"), event)
    elif kind == "form_on_submit":
        yield _form(item, event.sub("submission"), event)
    else:
        contact = event.sub("contact") if event.get("contact") is not None else event.sub("lead")
        number = contact.get("id") or event.get("id")
        stamp = event.get("timestamp")
        yield Seen(
            raw=item.raw,
            signal=signal,
            name=kind if signal is None else None,
            id=joined(kind, number, stamp) if stamp and number else None,
            time=stamp,
            **_person(item, contact, number),
        )


def _opened(item: Item, stat: Item, event: Item) -> Seen:
    number = stat.text("id")
    person = _person(item, stat.sub("lead"), stat.get("lead", "id"))
    person["emails"] = (stat.get("emailAddress"), *person["emails"])
    return Seen(
        raw=item.raw,
        signal="email.opened",
        id=joined("open", number, stat.get("openCount") or stat.get("lastOpened")) if number else None,
        time=stat.first("lastOpened", "dateRead") or event.get("timestamp"),
        message_id=stat.first("trackingHash", "id"),
        campaign=stat.text("email", "name") or stat.text("sourceId"),
        ip=stat.text("ipAddress", "ipAddress") or stat.text("ipAddress"),
        **person,
    )


def _hit(item: Item, hit: Item, event: Item) -> Seen:
    redirect = hit.sub("redirect")
    target = redirect.text("url")
    clicked = bool(redirect.of) and (hit.text("source") == "email" or bool(hit.sub("email").of))
    number = hit.text("id")
    person = _person(item, hit.sub("lead"), hit.get("lead", "id"))
    return Seen(
        raw=item.raw,
        signal="email.clicked" if clicked else "page.viewed",
        name=None if clicked else hit.first("urlTitle") or hit.text("page", "title"),
        id=joined("hit", number) if number else None,
        time=hit.get("dateHit") or event.get("timestamp"),
        anonymous=ident(hit.get("trackingId")),
        properties={"link": target or hit.get("url")} if clicked else {"url": hit.get("url") or target},
        message_id=hit.text("sourceId") if clicked else None,
        campaign=hit.text("email", "name"),
        ip=hit.text("ipAddress", "ipAddress") or hit.text("ipAddress"),
        user_agent=hit.get("userAgent"),
        **person,
    )


def _form(item: Item, submission: Item, event: Item) -> Seen:
    results, number = submission.sub("results"), submission.text("id")
    person = _person(item, submission.sub("lead"), submission.get("lead", "id"))
    person["emails"] = (*person["emails"], results.get("email"), results.get("f_email"))
    person["traits"] = {**results.of, **person["traits"]}
    return Seen(
        raw=item.raw,
        otherwise="form.submitted",
        name=submission.text("form", "name"),
        id=joined("submission", number) if number else None,
        time=submission.get("dateSubmitted") or event.get("timestamp"),
        anonymous=ident(submission.get("trackingId")),
        properties={"url": submission.get("referer")},
        ip=submission.text("ipAddress", "ipAddress") or submission.text("ipAddress"),
        **person,
    )


def _person(item: Item, contact: Item, number: object) -> dict[str, Any]:
    """Who it is: the contact's fields by group, `{"core": {"email": {"value": …}}}`."""
    traits: dict[str, Any] = {}
    for group in contact.sub("fields").of.values():
        if not isinstance(group, Mapping):
            continue
        for name, field in group.items():
            value = Item(field).get("value") if isinstance(field, Mapping) else field
            if value not in (None, ""):
                traits.setdefault(name, value)
    traits.pop("title", None)  # Mautic's title is "Mr."; `position` is what somebody does
    host = urlsplit_host(item.text("origin"))
    return {
        "emails": (traits.get("email"), contact.get("email")),
        "crm": crm("mautic", host, number) if isinstance(number, int | str) else None,
        "traits": traits,
    }


def urlsplit_host(address: str | None) -> str | None:
    """The host of an address, so that contact 7 of two installations are two people."""
    try:
        return urlsplit(address).hostname if address else None
    except ValueError:
        return None


PLATFORM: Final = hook("mautic", read, split=split, verify=over_body("Webhook-Signature", "sha256", "base64"))
