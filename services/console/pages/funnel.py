"""`/funnel`: how far leads come in each segment, how long it takes, and whether the goals are met."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.rooms import ConsoleRooms
from services.console.views.funnel import period, segments, where

DAYS: Final = (7, 30, 90)


class FunnelPages:
    """The funnel."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._leads = rooms.router.leads
        self._policies = rooms.policies

    def routes(self) -> Sequence[BaseRoute]:
        """The page."""
        return (self._frame.page("/funnel", self.show, "marketing"),)

    async def show(self, request: Request) -> Response:
        """The funnel of the last `?days=`."""
        days = period(request.query_params.get("days", ""), DAYS)
        until = self._frame.clock.now()
        found = await self._leads.funnel(until - timedelta(days=days), until, None)
        labels = {segment.name: segment.label for segment in self._policies.active.segments} | {"none": "No segment"}
        return self._frame.draw(
            "funnel.html",
            identity=await self._frame.signed_in(request),
            here="/funnel",
            days=days,
            choices=DAYS,
            segments=segments(found, labels, days),
            where=where(found, labels),
            total=found["total"],
        )
