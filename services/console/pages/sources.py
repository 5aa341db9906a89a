"""`/sources`: which tools send events, how they are doing, and how to set one up."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form, reads_pages
from services.console.rooms import ConsoleRooms
from services.console.views.sources import marked, source_row
from services.ingest.store import NewSource
from services.runtime.errors import LeadRouterError, Refused


class SourcePages:
    """Sources."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._ingest = rooms.ingest

    def routes(self) -> Sequence[BaseRoute]:
        """The list, one source, and the forms."""
        page = self._frame.page
        return (
            page("/sources", self.list, "marketing", "ops"),
            page("/sources", self.create, "marketing", method="POST"),
            page("/sources/{source_id}", self.show, "marketing", "ops"),
            page("/sources/{source_id}/rotate", self.rotate, "admin", method="POST"),
            page("/sources/{source_id}/disable", self.disable, "admin", method="POST"),
        )

    async def list(self, request: Request) -> Response:
        """Every source with its state."""
        return await self._list(request)

    async def create(self, request: Request) -> Response:
        """Make a source; its key is shown this once."""
        sent = await form(request, 8192)
        try:
            made = await self._ingest.create_source(
                sent.get("name", ""), sent.get("platform", ""), publishable=sent.get("publishable") == "yes"
            )
        except LeadRouterError as error:
            if not reads_pages(request):
                raise
            return await self._list(request, 422, problem=error.message, sent=sent)
        return await self._show(request, made.id, made=made)

    async def show(self, request: Request) -> Response:
        """One source: what came, what was refused, how to set it up."""
        return await self._show(request, request.path_params["source_id"])

    async def rotate(self, request: Request) -> Response:
        """A new key; the one before goes on working until the next rotation."""
        await form(request, 1024)
        source_id = request.path_params["source_id"]
        made = await self._ingest.rotate_source(source_id)
        if made is None:
            raise _none()
        return await self._show(request, source_id, made=made)

    async def disable(self, request: Request) -> Response:
        """Off, or on again."""
        source_id = request.path_params["source_id"]
        disabled = (await form(request, 1024)).get("disabled") == "yes"
        if not await self._ingest.disable_source(source_id, disabled=disabled):
            raise _none()
        return RedirectResponse(f"/sources/{source_id}", 303)

    async def _list(self, request: Request, status: int = 200, **more: Any) -> Response:
        now = self._frame.clock.now()
        values = {"problem": None, "sent": {}, **more}
        return self._frame.draw(
            "sources.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/sources",
            sources=[source_row(one, now) for one in await self._ingest.health.all()],
            refused=sorted((await self._ingest.health.refused()).items(), key=lambda one: (-one[1], one[0])),
            platforms=self._ingest.health.platforms,
            **values,
        )

    async def _show(self, request: Request, source_id: str, made: NewSource | None = None) -> Response:
        found = await self._ingest.health.one(source_id)
        if found is None:
            raise _none()
        now = self._frame.clock.now()
        return self._frame.draw(
            "source.html",
            identity=await self._frame.signed_in(request),
            here="/sources",
            source=source_row(found, now),
            steps=[marked(step) for step in found["steps"]],
            secret_is=marked(found["secret_is"]),
            hook_url=found["hook_url"],
            rejects=found["last_rejects"],
            made=made,
        )


def _none() -> Refused:
    return Refused("there is no such source", code="not_found")
