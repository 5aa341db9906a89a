"""SparkPost's event webhooks: an array of `{"msys": {kind: {…}}}`. Unsigned: Basic or a bearer token.

A mail has two pixels: one look at it gives `initial_open` (top) and `open` (bottom). Both get one id and one hour as
their time for telling repeats, so they count once.

Source: https://developers.sparkpost.com/api/webhooks/
"""

from collections.abc import Iterable
from typing import Final

from schemas.messages import Actor
from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import Item, Told, Types, hook, joined, meaning, moment
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "ping": None,
    "injection": None,
    "delay": None,
    "policy_rejection": None,
    "generation_failure": None,
    "generation_rejection": None,
    "sms_status": None,
    "ab_test_completed": None,
    "ab_test_cancelled": None,
    "relay_injection": None,
    "relay_rejection": None,
    "relay_delivery": None,
    "relay_tempfail": None,
    "relay_permfail": None,
    "success": None,
    "error": None,
    "delivery": "email.delivered",
    "open": "email.opened",
    "initial_open": "email.opened",
    "amp_open": "email.opened",
    "amp_initial_open": "email.opened",
    "click": "email.clicked",
    "amp_click": "email.clicked",
    "bounce": "email.bounced",
    "out_of_band": "email.bounced",
    "spam_complaint": "email.complained",
    "list_unsubscribe": "email.unsubscribed",
    "link_unsubscribe": "email.unsubscribed",
    "relay_message": "email.replied",
}
# Bounce classes of a full mailbox, a time-out, a block list: not of a bad address.
_SOFT: Final = frozenset(("20", "21", "22", "23", "24", "40", "50", "51", "52", "53", "54", "60", "70", "100"))


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    outer = item.sub("msys")
    name, inner = next(iter(outer.of.items()), ("ping", {}))
    event = Item(inner, item.raw)
    kind = "relay_message" if name == "relay_message" else event.text("type") or name
    signal, told = meaning(kind, TYPES)
    if signal == "email.bounced" and event.text("bounce_class") in _SOFT:
        signal, told = None, Told("bounce soft")
    if told is not None:
        yield told
        if kind in TYPES:
            return
    actor: Actor | None = None
    if event.flag("is_prefetched"):
        actor = "machine"
    elif event.flag("is_proxy"):
        actor = "proxied"
    emails = (event.get("rcpt_to"), event.get("raw_rcpt_to"))
    if signal == "email.replied":
        emails = (event.get("msg_from"), event.get("friendly_from"))
    own_id = event.text("event_id")
    # Their own samples repeat one event_id over several types.
    key, hour = f"{own_id}|{kind}" if own_id else None, None
    message = event.text("message_id")
    at = moment(event.get("timestamp"))
    if signal == "email.opened" and message and at is not None:
        key, hour = (
            joined(message, "open", emails[0] or emails[1], actor),
            at.replace(minute=0, second=0, microsecond=0),
        )
    tracked = signal in ("email.opened", "email.clicked")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=key,
        key_time=hour,
        time=event.get("timestamp"),
        emails=emails,
        properties={"link": event.get("target_link_url")} if signal == "email.clicked" else None,
        ip=event.get("ip_address") if tracked else None,  # of a bounce it is the other server's
        user_agent=event.get("user_agent") if tracked else None,
        message_id=message,
        campaign=event.text("campaign_id") or event.text("template_id"),
        actor=actor,
    )


PLATFORM: Final = hook("sparkpost", read, verify=shared_secret)
