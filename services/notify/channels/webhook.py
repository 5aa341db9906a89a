"""Outgoing webhooks as Standard Webhooks says: a stable id, a time, a signature; receivers verify with any library."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from typing_extensions import override

from services.notify.channels.far import Endpoint, FarChannel, Field, Kind, Order, Tools, answered, unreachable
from services.notify.core.attempt import Result
from services.notify.core.signature import secret_bytes, webhook_signature
from services.runtime.errors import Refused, Unavailable

# Standard Webhooks, "Deliverability and reliability": about three days in all.
SCHEDULE_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
_encoder: Final = msgspec.json.Encoder()


class Post(msgspec.Struct, frozen=True):
    """A signed message."""

    headers: Mapping[str, str]
    body: bytes


class WebhookChannel(FarChannel):
    """One receiver."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._secrets = [s["secret"] for s in (endpoint.secrets, endpoint.before) if s.get("secret")]
        self._http = tools.connect(endpoint.secrets["url"])

    @override
    def prepare(self, order: Order, now: datetime) -> Post:
        body = _encoder.encode(_payload(order, now))
        message_id, at = f"msg_{order.id}", int(now.timestamp())
        return Post(
            {
                "content-type": "application/json",
                "user-agent": "lead-router",
                "webhook-id": message_id,
                "webhook-timestamp": str(at),
                "webhook-signature": webhook_signature(self._secrets, message_id, at, body),
            },
            body,
        )

    @override
    async def send(self, request: Post) -> Result:
        try:
            return answered(await self._http.call("POST", "", request.headers, request.body))
        except (Unavailable, Refused) as error:
            return unreachable(error)

    @override
    async def close(self) -> None:
        await self._http.close()


def _payload(order: Order, now: datetime) -> dict[str, object]:
    if order.purpose == "test":
        return {"type": "test", "timestamp": now, "data": {"text": order.note}}
    if order.items:
        return {"type": "notice.digest", "timestamp": now, "data": {"rep": order.rep.id, "items": order.items}}
    word = "unanswered" if order.purpose == "step" else order.notice.state
    return {"type": f"notice.{word}", "timestamp": now, "data": order.notice}


def _check(_options: Mapping[str, str], secrets: Mapping[str, str]) -> str | None:
    if secret_bytes(secrets.get("secret", "")) is None:
        return "secret: write it as whsec_ and the base64 of 24 to 64 bytes, or leave it out and one is made"
    return None


KIND: Final = Kind(
    name="webhook",
    title="Outgoing webhook (Standard Webhooks)",
    fields=(
        Field("url", "https address that takes the POST", secret=True),
        Field("secret", "what messages are signed with; made when not given", secret=True, required=False, made=True),
    ),
    open=WebhookChannel,
    feed=True,
    changes=True,
    idempotent=True,
    concurrency=4,
    per_s=50.0,
    schedule=SCHEDULE_S,
    disable_after_s=5 * 86_400.0,
    check=_check,
)
