"""`/try`: one lead, or one pasted event, against a draft or the policy in force: what would happen?"""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form
from services.console.pages.policy import BODY_MAX
from services.console.rooms import ConsoleRooms
from services.console.trial import EVENT_BYTES, Asked, Trials
from services.console.views.trial import shown
from services.policy.core.problems import PolicyError
from services.runtime.errors import LeadRouterError

EXAMPLE: Final = """{
  "type": "page",
  "userId": "anni.virta@nordwind.example",
  "context": {"traits": {"email": "anni.virta@nordwind.example", "title": "VP Operations"}},
  "properties": {"path": "/pricing", "url": "https://www.example.com/pricing"}
}"""


class TrialPages:
    """Trying things out."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._trials = Trials(rooms)
        self._policies = rooms.policies
        self._directory = rooms.directory

    def routes(self) -> Sequence[BaseRoute]:
        """The page and its form. The form changes nothing: it is posted because drafts and events are long."""
        return (
            self._frame.page("/try", self.show, "marketing"),
            self._frame.page("/try", self.run, "marketing", method="POST"),
        )

    async def show(self, request: Request) -> Response:
        """The empty form; with `?email=` the lead is tried at once."""
        email = request.query_params.get("email", "").strip()[:320]
        return await self._draw(request, Asked(email=email), run=bool(email))

    async def run(self, request: Request) -> Response:
        """Try what was sent."""
        sent = await form(request, BODY_MAX + 3 * EVENT_BYTES)
        text = sent.get("text", "").replace("\r\n", "\n")
        asked = Asked(
            email=sent.get("email", "").strip()[:320],
            event=sent.get("event", ""),
            text=text if text.strip() else None,
            fresh=sent.get("fresh") == "yes",
        )
        # From the editor only the draft comes along: there is nothing to try yet.
        return await self._draw(request, asked, run=bool(asked.email or asked.event.strip()))

    async def _draw(self, request: Request, asked: Asked, *, run: bool) -> Response:
        values: dict[str, Any] = {"answer": None, "outcome": None, "active": None, "problem": None, "problems": ()}
        status = 200
        if run:
            try:
                answer = await self._trials.run(asked)
            except PolicyError as error:
                values["problems"], status = error.problems, 422
            except LeadRouterError as error:
                values["problem"], status = error.message, 422
            else:
                reps = {rep.id: rep.name or rep.id for rep in self._directory.view.reps.values()}
                values |= {
                    "answer": answer,
                    "outcome": shown(answer.outcome, reps),
                    "active": shown(answer.active, reps) if answer.active is not None else None,
                }
        return self._frame.draw(
            "try.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/policy",
            asked=asked,
            example=EXAMPLE,
            version=self._policies.active.version,
            **values,
        )
