"""The inbox: `/inbox`, and the fragment that keeps it live."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.views.inbox import DECLINES, card
from services.notify.core.notice import Notice
from services.runtime.access import Identity
from services.runtime.errors import Refused

SHOWN: Final = 50


class InboxSource(Protocol):
    """Where the notices come from: `NotifyService.inbox`."""

    async def page(
        self, rep: str, limit: int, before: int | None = None, *, open_only: bool = False
    ) -> tuple[list[Notice], int | None]:
        """Notices of `rep`, newest change first, and where to go on."""
        ...


class InboxPages:
    """A rep's inbox. An admin looks at a rep's with `?rep=`."""

    def __init__(self, frame: Frame, inbox: InboxSource) -> None:
        self._frame = frame
        self._inbox = inbox

    def routes(self) -> Sequence[BaseRoute]:
        """The page and its list."""
        return (
            self._frame.page("/inbox", self.inbox, "rep"),
            self._frame.fragment("/inbox/list", self.inbox_list, "rep"),
        )

    async def inbox(self, request: Request) -> Response:
        """The live inbox."""
        identity = await self._frame.signed_in(request)
        rep = rep_of(identity, request)
        return self._frame.draw("inbox.html", identity=identity, rep=rep, **await self._cards(rep))

    async def inbox_list(self, request: Request) -> Response:
        """The list alone, for the module that follows the stream."""
        identity = await self._frame.signed_in(request)
        return self._frame.draw("_list.html", identity=identity, **await self._cards(rep_of(identity, request)))

    async def _cards(self, rep: str) -> dict[str, Any]:
        notices, _ = await self._inbox.page(rep, SHOWN)
        now = self._frame.clock.now()
        cards = [card(notice, now) for notice in notices]
        return {
            "open_cards": [c for c in cards if c.open],
            "past_cards": [c for c in cards if not c.open],
            "after": max((n.seq for n in notices), default=0),
            "declines": DECLINES,
        }


def rep_of(identity: Identity, request: Request) -> str:
    """Whose inbox: the rep's own, or the one that an admin names. Raises `Refused`."""
    if identity.role == "rep" and identity.rep:
        return identity.rep
    if identity.role != "admin":
        msg = f"the inbox is for reps; this token has the role {identity.role}"
        raise Refused(msg, code="forbidden")
    rep = request.query_params.get("rep", "")
    if not rep:
        msg = "say whose inbox: /inbox?rep=<rep id>"
        raise Refused(msg, code="not_found")
    return rep
