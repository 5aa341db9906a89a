"""Marketo: our template for its "Call Webhook" step, and pages of its activities API as they are polled.

Marketo signs nothing; the template's header repeats the secret. docs/sources/marketo.md holds the template.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/webhooks/webhooks
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.core.spelling import fold
from services.ingest.sources.hooks import Item, Told, Types, crm, hook, joined, list_in, meaning
from services.ingest.sources.signatures import shared_secret

# The activity API's numbers, as every instance has them.
ACTIVITIES: Final[Types] = {
    "1": "page.viewed",
    "2": "form.submitted",
    "3": "link_clicked",
    "6": None,
    "7": "email.delivered",
    "8": "email.bounced",
    "9": "email.unsubscribed",
    "10": "email.opened",
    "11": "email.clicked",
    "12": "person.identified",
    "13": "person.identified",
    "22": None,
    "23": None,
    "24": None,
    "25": None,
    "27": None,
    "32": "person.identified",
    "37": "person.deleted",
}
# `{{trigger.Trigger Name}}`, folded.
TRIGGERS: Final[Types] = {
    "visitswebpage": "page.viewed",
    "fillsoutform": "form.submitted",
    "clickslinkonwebpage": "link_clicked",
    "emailisdelivered": "email.delivered",
    "emailbounces": "email.bounced",
    "emailbouncessoft": None,
    "unsubscribesfromemail": "email.unsubscribed",
    "opensemail": "email.opened",
    "clickslinkinemail": "email.clicked",
    "personiscreated": "person.identified",
    "leadiscreated": "person.identified",
    "datavaluechanges": "person.identified",
    "issentemail": None,
    "scoreischanged": None,
}


def read(item: Item) -> Iterable[Seen | Told]:
    """A filled template, or one activity."""
    return _activity(item) if item.get("activityTypeId") is not None else _template(item)


def _template(item: Item) -> Iterable[Seen | Told]:
    # A token that Marketo could not fill stays as it is.
    filled = Item({name: value for name, value in item.of.items() if not _unfilled(value)}, item.raw)
    given = filled.first("event", "trigger")
    if given is None:
        given = filled.needed("event")
    folded = fold(given)
    signal, told = meaning(folded, TRIGGERS)
    if folded in TRIGGERS and told is not None:
        yield Told(given)
        return
    asset, link = filled.text("asset"), filled.text("link")
    form = signal == "form.submitted"
    traits = {name: filled.get(name) for name in _TRAITS if filled.get(name) is not None}
    yield Seen(
        raw=item.raw,
        signal=None if form else signal,
        otherwise="form.submitted" if form else None,
        name=asset if form else given,
        id=filled.text("id") or joined(given, filled.get("lead_id"), filled.get("time"), asset, link),
        time=filled.get("time"),
        emails=(filled.get("email"),),
        crm=crm("marketo", filled.get("munchkin"), filled.get("lead_id")),
        traits=traits,
        properties={"link": link} if signal == "email.clicked" else {"url": filled.get("page"), "link": link},
        message_id=asset,
        campaign=filled.text("campaign"),
        ip=filled.get("ip"),
        user_agent=filled.get("user_agent"),
    )


_TRAITS: Final = (
    "email", "first_name", "last_name", "title", "company", "industry", "employees", "country", "phone", "website",
)  # fmt: skip


def _unfilled(value: object) -> bool:
    return isinstance(value, str) and (value.strip().startswith("{{") or not value.strip())


def _activity(item: Item) -> Iterable[Seen | Told]:
    number = item.needed("activityTypeId")
    signal, told = meaning(number, ACTIVITIES)
    if told is not None:
        yield Told(f"activity {number}")
        if number in ACTIVITIES:
            return
    asset = item.text("primaryAttributeValue")
    details: dict[str, Any] = {}
    for entry in (*item.list("attributes"), *item.list("fields")):
        one = Item(entry)
        name = one.text("name")
        if name:
            details[name] = one.get("value") if "value" in one.of else one.get("newValue")
    found = Item(details)
    form = signal == "form.submitted"
    yield Seen(
        raw=item.raw,
        signal=None if form else signal,
        otherwise="form.submitted" if form else None,
        name=asset if form else (f"Marketo activity {number}" if signal is None else None),
        id=item.first("marketoGUID", "id"),
        time=item.get("activityDate"),
        emails=(details.get("Email Address"),),
        crm=crm("marketo", item.get("leadId")),
        traits=details if number in ("12", "13") else None,
        properties=_places(signal, found, asset),
        message_id=item.text("primaryAttributeValueId"),
        campaign=asset if signal and signal.startswith("email.") else None,
        ip=found.get("Client IP Address"),
        user_agent=found.get("User Agent"),
        actor="machine" if found.flag("Is Bot Activity") or found.flag("Bot Activity") else None,
    )


def _places(signal: str | None, found: Item, asset: str | None) -> Mapping[str, Any]:
    if signal == "email.clicked":
        return {"link": found.get("Link")}
    return {"url": found.first("Webpage URL", "Referrer URL"), "path": asset if signal == "page.viewed" else None}


PLATFORM: Final = hook("marketo", read, split=list_in("result"), verify=shared_secret)
