"""Braze Currents over HTTP: `{"events": […]}`, with a bearer token.

Source: https://www.braze.com/docs/user_guide/data/braze_currents/event_glossary/
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, crm, hook, ident, list_in, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "users.messages.email.Send": None,
    "users.messages.email.Abort": None,
    "users.messages.email.Deferral": None,
    "users.messages.email.SoftBounce": None,
    "users.messages.email.Retry": None,
    "users.messages.email.Delivery": "email.delivered",
    "users.messages.email.Open": "email.opened",
    "users.messages.email.Click": "email.clicked",
    "users.messages.email.Bounce": "email.bounced",
    "users.messages.email.MarkAsSpam": "email.complained",
    "users.messages.email.Unsubscribe": "email.unsubscribed",
    "users.behaviors.CustomEvent": None,
    "users.behaviors.Purchase": "purchase",
    "users.behaviors.app.FirstSession": "product.signed_up",
    "users.behaviors.app.SessionStart": None,
    "users.behaviors.app.SessionEnd": None,
    "users.behaviors.subscription.GlobalStateChange": None,
    "users.behaviors.subscriptiongroup.StateChange": None,
    "users.campaigns.EnrollInControl": None,
    "users.campaigns.Conversion": None,
    "users.canvas.Entry": None,
    "users.canvas.Conversion": None,
    "users.UserDeleteRequest": "person.deleted",
    "users.UserOrphan": None,
}
_STATES: Final = {"unsubscribed": "email.unsubscribed", "optedin": SUBSCRIBED, "subscribed": SUBSCRIBED}


def read(item: Item) -> Iterable[Seen | Told]:
    """One event. What other channels do with their messages is counted only."""
    kind = item.needed("event_type")
    data, user = item.sub("properties"), item.sub("user")
    signal, told = meaning(kind, TYPES)
    name = None
    if kind == "users.behaviors.CustomEvent":
        name, told = data.needed("name"), None
    elif kind == "users.behaviors.subscription.GlobalStateChange" and data.text("channel") in (None, "email"):
        signal = _STATES.get((data.first("subscription_status", "state") or "").casefold().replace("_", ""))
        told = None if signal else told
    if told is not None:
        yield told
        if kind in TYPES or kind.startswith("users.messages."):
            return
    own = data.sub("custom_properties").of
    link = data.first("link_url", "url")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=name or (kind.rpartition(".")[2] if signal is None else None),
        id=item.get("id"),
        time=item.get("time"),
        emails=(data.get("email_address"), user.get("email")),
        user=ident(user.text("external_user_id")),
        crm=crm("braze", user.get("user_id")),
        anonymous=None if user.of else ident(user.get("device_id")),
        properties={"link": link} if signal == "email.clicked" else own,
        ip=data.get("ip"),
        user_agent=data.get("user_agent"),
        message_id=data.first("dispatch_id", "message_variation_id", "send_id"),
        campaign=data.first("campaign_name", "canvas_name", "campaign_id", "canvas_id"),
        actor="machine" if data.flag("machine_open") or data.flag("is_suspected_bot_click") else None,
    )


PLATFORM: Final = hook("braze", read, split=list_in("events"), verify=shared_secret)
