"""Microsoft Teams by a Workflows address: a card, and 202 when the flow has started. Whether it was shown nobody says."""

from datetime import datetime
from typing import Final

import msgspec
from typing_extensions import override

from services.notify.channels.far import Endpoint, FarChannel, Field, Kind, Order, Tools, answered, unreachable
from services.notify.core import card
from services.notify.core.attempt import Result
from services.runtime.errors import Refused, Unavailable

HEADERS: Final = {"content-type": "application/json", "user-agent": "lead-router"}


class TeamsChannel(FarChannel):
    """One flow."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._http = tools.connect(endpoint.secrets["url"])
        self._links = tools.links

    @override
    def prepare(self, order: Order, now: datetime) -> bytes:
        links, notice = self._links, order.notice
        if order.items:
            made = card.digest(order.items, inbox_url=links.inbox())
        else:
            made = card.message(
                notice,
                inbox_url=links.inbox(),
                lead_url=links.lead(notice.lead.id),
                note=order.note,
                again=order.maybe_sent,
                timezone=order.rep.timezone,
            )
        return msgspec.json.encode(made)

    @override
    async def send(self, request: bytes) -> Result:
        try:
            return answered(await self._http.call("POST", "", HEADERS, request))
        except (Unavailable, Refused) as error:
            return unreachable(error)

    @override
    async def close(self) -> None:
        await self._http.close()


KIND: Final = Kind(
    name="teams",
    title="Microsoft Teams (Workflows)",
    fields=(
        Field("url", "the address of the flow “Post to a channel when a webhook request is received”", secret=True),
    ),
    open=TeamsChannel,
    feed=True,
    concurrency=2,
    # Teams throttles a connector at 4 messages a second.
    per_s=2.0,
)
