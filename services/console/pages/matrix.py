"""`/matrix`: who works which stage of which segment, and how many leads stand there."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.rooms import ConsoleRooms
from services.console.views.matrix import ABOUT, NAMES, STAGES, matrix


class MatrixPages:
    """The sales matrix."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._policies = rooms.policies
        self._leads = rooms.router.leads

    def routes(self) -> Sequence[BaseRoute]:
        """The page."""
        return (self._frame.page("/matrix", self.show, "marketing"),)

    async def show(self, request: Request) -> Response:
        """The matrix of the policy in force."""
        policy = self._policies.active
        columns, outside = matrix(policy, await self._leads.standing())
        return self._frame.draw(
            "matrix.html",
            identity=await self._frame.signed_in(request),
            here="/matrix",
            columns=columns,
            outside=outside,
            stages=[(stage, NAMES[stage], ABOUT[stage]) for stage in STAGES],
            conditions={stage: condition.text for stage, condition in policy.stages.items()},
            version=policy.version,
            sla=policy.sla,
        )
