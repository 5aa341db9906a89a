"""`/channels`: where notices go beside the inbox, and changing what a channel was set to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form, reads_pages
from services.console.views.channels import Settings, change_of, settings_of
from services.console.views.deliveries import channel_row
from services.notify.handler.endpoints import Endpoints
from services.runtime.errors import LeadRouterError

NAME_MAX: Final = 64
# The longest option (who is who in Slack) in the form's own encoding.
FORM_MAX: Final = 100_000


class ChannelPages:
    """Channels."""

    def __init__(self, frame: Frame, endpoints: Endpoints) -> None:
        self._frame = frame
        self._endpoints = endpoints

    def routes(self) -> Sequence[BaseRoute]:
        """The list, one channel, and its form."""
        page = self._frame.page
        return (
            page("/channels", self.list, "marketing", "ops"),
            page("/channels/{name}", self.show, "marketing", "ops"),
            page("/channels/{name}", self.change, "marketing", method="POST"),
        )

    async def list(self, request: Request) -> Response:
        """Every channel, and how it is doing."""
        now = self._frame.clock.now()
        return self._frame.draw(
            "channels.html",
            identity=await self._frame.signed_in(request),
            here="/sources",
            channels=[channel_row(one, now) for one in await self._endpoints.store.list()],
            kinds={kind.name: kind.title for kind in self._endpoints.kinds.values()},
        )

    async def show(self, request: Request) -> Response:
        """What one channel is set to."""
        return await self._show(request, saved=request.query_params.get("saved") == "yes")

    async def change(self, request: Request) -> Response:
        """Take the form over, or show it again with what is wrong."""
        sent = await form(request, FORM_MAX)
        one = await self._endpoints.find(_named(request))
        kind = self._endpoints.kinds[one.kind]
        try:
            await self._endpoints.change(one.id, change_of(kind, sent))
        except LeadRouterError as error:
            if not reads_pages(request):
                raise
            return await self._show(request, 422, problem=error.message, sent=sent)
        return RedirectResponse(f"/channels/{one.id}?saved=yes", 303)

    async def _show(
        self, request: Request, status: int = 200, *, sent: Mapping[str, str] | None = None, **more: Any
    ) -> Response:
        one, now = await self._endpoints.find(_named(request)), self._frame.clock.now()
        kind = self._endpoints.kinds[one.kind]
        shown: Settings = settings_of(one, kind, sent)
        return self._frame.draw(
            "channel.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/sources",
            channel=channel_row(one, now),
            settings=shown,
            **{"problem": None, "saved": False, **more},
        )


def _named(request: Request) -> str:
    return str(request.path_params["name"])[:NAME_MAX]
