"""`/ops/deliveries`: what went out by each channel, what did not, and sending it again."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form
from services.console.views.deliveries import channel_row, delivery_row
from services.notify.handler.endpoints import Endpoints
from services.notify.store.ledger import Filter, Ledger
from services.runtime.errors import BadMessage
from services.runtime.http import decode_place, encode_place

SHOWN: Final = 50
STATES: Final = ("gave_up", "due", "held", "delivered", "skipped")
NAME_MAX: Final = 64


class DeliveryPages:
    """Deliveries by channel."""

    def __init__(self, frame: Frame, endpoints: Endpoints, ledger: Ledger) -> None:
        self._frame = frame
        self._endpoints = endpoints
        self._ledger = ledger

    def routes(self) -> Sequence[BaseRoute]:
        """The page and its forms."""
        page = self._frame.page
        return (
            page("/ops/deliveries", self.list, "ops"),
            page("/ops/deliveries/replay", self.replay, "ops", method="POST"),
            page("/ops/deliveries/channel", self.switch, "ops", method="POST"),
        )

    async def list(self, request: Request) -> Response:
        """Channels, and the deliveries of a filter."""
        asked = request.query_params
        chosen = _chosen(asked)
        wanted = Filter(state=chosen["state"] or None, endpoint=chosen["channel"] or None)
        rows = await self._ledger.page(wanted, SHOWN + 1, decode_place(asked.get("cursor")))
        now = self._frame.clock.now()
        channels = [channel_row(one, now) for one in await self._endpoints.store.list()]
        last = rows[SHOWN - 1] if len(rows) > SHOWN else None
        older = {**chosen, "cursor": encode_place(last["created_at"], last["id"])} if last is not None else None
        return self._frame.draw(
            "deliveries.html",
            identity=await self._frame.signed_in(request),
            here="/ops/deliveries",
            channels=channels,
            kinds={kind.name: kind.title for kind in self._endpoints.kinds.values()},
            deliveries=[delivery_row(row) for row in rows[:SHOWN]],
            older=f"/ops/deliveries?{urlencode(older)}" if older is not None else None,
            chosen=chosen,
            states=STATES,
            done=asked.get("done", "")[:12] if asked.get("done", "").isdigit() else None,
        )

    async def replay(self, request: Request) -> Response:
        """Send one again, or all that was given up by a channel."""
        sent = await form(request, 4096)
        chosen, now = _chosen(sent), self._frame.clock.now()
        delivery = sent.get("delivery", "")[:64]
        if delivery:
            done = await self._ledger.replay(now, delivery_id=delivery)
        else:
            done = await self._ledger.replay(now, endpoint=chosen["channel"] or None)
        return RedirectResponse(f"/ops/deliveries?{urlencode({**chosen, 'done': str(done)})}", 303)

    async def switch(self, request: Request) -> Response:
        """Turn a channel off, or on again."""
        sent = await form(request, 4096)
        name = sent.get("channel", "")[:NAME_MAX]
        if not name:
            msg = "say which channel"
            raise BadMessage(msg, code="invalid")
        one = await self._endpoints.find(name)
        await self._endpoints.store.enable(
            one.id, on=sent.get("on") == "yes", reason="by_hand", now=self._frame.clock.now()
        )
        return RedirectResponse("/ops/deliveries", 303)


def _chosen(asked: Mapping[str, str]) -> dict[str, str]:
    state = asked.get("state", "gave_up")
    return {"state": state if state in (*STATES, "") else "gave_up", "channel": asked.get("channel", "")[:NAME_MAX]}
