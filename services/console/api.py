"""The console of one process: all its pages, put together."""

from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.pages.inbox import InboxPages, InboxSource
from services.console.pages.session import SessionPages
from services.runtime.access import Access
from services.runtime.clock import Clock, SystemClock


def console_routes(access: Access, inbox: InboxSource, clock: Clock | None = None) -> list[BaseRoute]:
    """The console's routes.

    Args:
        inbox: `NotifyService.inbox`: the inbox is drawn on the server.
    """
    frame = Frame(access, clock or SystemClock())
    return [
        *SessionPages(frame).routes(),
        *InboxPages(frame, inbox).routes(),
        frame.asset_route(),
    ]
