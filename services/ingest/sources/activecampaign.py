"""ActiveCampaign's webhooks: a form with PHP's brackets, unsigned, sent once and never again.

Imports of contacts fire nothing.

Source: https://help.activecampaign.com/hc/en-us/articles/115001403484
"""

from collections.abc import Iterable
from typing import Any, Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, form_item, hook, ident, joined, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "subscribe": "person.identified",
    "resubscribe": SUBSCRIBED,
    "update": "person.identified",
    "contact_add": "person.identified",
    "contact_update": "person.identified",
    "contact_tag_added": None,
    "contact_tag_removed": None,
    "unsubscribe": "email.unsubscribed",
    "open": "email.opened",
    "click": "email.clicked",
    "bounce": "email.bounced",
    "reply": "email.replied",
    "forward": "email_forwarded",
    "share": "email_shared",
    "sent": None,
    "list_add": None,
    "deal_add": None,
    "deal_note_add": None,
    "deal_task_add": None,
    "deal_task_complete": None,
    "deal_pipeline_add": None,
    "deal_stage_add": None,
    "account_add": None,
    "account_update": None,
}
_DEAL: Final = {"1": "deal.won", "won": "deal.won", "2": "deal.lost", "lost": "deal.lost"}
_SOFT: Final = ("soft", "0")


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    kind = item.needed("type")
    contact, campaign, link, deal = item.sub("contact"), item.sub("campaign"), item.sub("link"), item.sub("deal")
    signal, told = meaning(kind, TYPES)
    if kind == "deal_update":
        signal = _DEAL.get((deal.first("status", "status_name") or "").casefold())
        told = None if signal else Told(kind)
    elif kind == "bounce" and (item.text("bounce", "type") or "").casefold() in _SOFT:
        signal, told = None, Told("bounce soft")
    if told is not None:
        yield told
        if kind in TYPES or kind == "deal_update":
            return
    fields = contact.sub("fields").of
    traits: dict[str, Any] = {name: value for name, value in fields.items() if not name.isdigit()}
    traits |= {
        "first_name": contact.get("first_name"),
        "last_name": contact.get("last_name"),
        "phone": contact.get("phone"),
        "company": contact.first("customer_acct_name", "orgname") or item.first("customer_acct_name", "orgname"),
    }
    clicked = signal == "email.clicked"
    own = item.text("initiated_by") in (None, "contact")  # else it is the address of somebody in the office
    ip = contact.text("ip") or item.text("ip4")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(
            kind,
            contact.get("id"),
            campaign.get("id"),
            item.get("date_time"),
            link.get("id") or link.get("url"),
            deal.get("id"),
        ),
        time=item.get("date_time"),
        emails=(contact.get("email"), deal.get("contact_email"), item.get("email")),
        traits=traits,
        properties={"link": link.get("url")} if clicked else None,
        ip=ip if own and ip != "0.0.0.0" else None,  # noqa: S104 an address to be left out
        user_agent=item.get("user_agent"),
        message_id=ident(campaign.get("id")),
        campaign=campaign.text("name"),
    )


PLATFORM: Final = hook("activecampaign", read, split=form_item, verify=shared_secret)
