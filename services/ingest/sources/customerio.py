"""Customer.io's reporting webhooks: one event a request, in order; one that is refused holds back all after it.

Source: https://docs.customer.io/integrations/data-out/connections/webhooks/
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.messages import Actor
from services.ingest.core.mapping import Seen
from services.ingest.sources.base import Arrival
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, crm, hook, ident, meaning
from services.ingest.sources.signatures import MISMATCH, any_fits

# By metric, of the object types `email` and `customer`.
TYPES: Final[Types] = {
    "drafted": None,
    "attempted": None,
    "sent": None,
    "deferred": None,
    "dropped": None,
    "failed": None,
    "undeliverable": None,
    "suppressed": None,
    "delivered": "email.delivered",
    "opened": "email.opened",
    "human_opened": "email.opened",
    "clicked": "email.clicked",
    "human_clicked": "email.clicked",
    "bounced": "email.bounced",
    "spammed": "email.complained",
    "unsubscribed": "email.unsubscribed",
    "subscribed": SUBSCRIBED,
    "cio_subscription_preferences_changed": None,
    "converted": "email_converted",
}
# What other channels tell of the message's way, not of the person.
_WAY: Final = frozenset(("drafted", "attempted", "sent", "delivered", "deferred", "bounced", "dropped", "failed", "undeliverable", "suppressed"))  # fmt: skip


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `X-CIO-Signature`: hex HMAC-SHA256 over `v0:stamp:body`. No tolerance: a retry comes for seven days."""
    given, stamp = arrival.headers.get("x-cio-signature", ""), arrival.headers.get("x-cio-timestamp", "")
    if not given or not stamp:
        return "the headers X-CIO-Signature and X-CIO-Timestamp are needed"
    content = b"v0:" + stamp.encode("utf-8", "replace") + b":" + arrival.raw
    return None if any_fits(given, secrets, content, "sha256", "hex") else MISMATCH


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    channel, metric = item.text("object_type") or "email", item.needed("metric")
    kind = metric if channel in ("email", "customer") else f"{channel} {metric}"
    signal, told = meaning(kind, TYPES)
    if channel not in ("email", "customer"):
        if channel in ("webhook", "slack") or metric in _WAY:
            yield Told(kind)
            return
        signal, told = None, None if metric in TYPES else Told(kind)
    if told is not None:
        yield told
        if kind in TYPES:
            return
    data = item.sub("data")
    ids = data.sub("identifiers")
    user = ident(ids.text("id") or data.get("customer_id"))
    recipient = data.text("recipient") or ""
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=item.text("event_id"),
        time=item.get("timestamp"),
        emails=(ids.get("email"), recipient if "@" in recipient else None, data.get("email_address")),
        user=user,
        crm=None if user else crm("customerio", ids.text("cio_id")),
        properties={"link": data.get("href")} if signal == "email.clicked" else None,
        message_id=data.text("delivery_id"),
        campaign=data.first("campaign_name", "campaign_id", "broadcast_id", "newsletter_id"),
        user_agent=data.get("user_agent"),
        ip=data.get("ip"),
        actor=_actor(metric, data),
    )


def _actor(metric: str, data: Item) -> Actor | None:
    """Who opened or clicked, as Customer.io judges it; None where it says nothing."""
    if data.flag("machine") or data.flag("prefetched"):
        return "machine"
    if data.flag("proxied"):
        return "proxied"
    if metric in ("human_opened", "human_clicked"):
        return "human"
    judged = "machine" in data.of if metric == "clicked" else "prefetched" in data.of and "proxied" in data.of
    return "human" if judged and metric in ("opened", "clicked") else None


PLATFORM: Final = hook("customerio", read, verify=verify)
