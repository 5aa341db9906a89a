"""The console of one process: all its pages, put together."""

from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.pages.dead_letters import DeadLetterPages
from services.console.pages.inbox import InboxPages
from services.console.pages.matrix import MatrixPages
from services.console.pages.overview import OverviewPages
from services.console.pages.policy import PolicyPages
from services.console.pages.session import SessionPages
from services.console.pages.tokens import TokenPages
from services.console.rooms import ConsoleRooms


def console_routes(rooms: ConsoleRooms) -> list[BaseRoute]:
    """The console's routes: one line a page class; each takes what it needs of the rooms."""
    frame = Frame(rooms.access, rooms.clock)
    return [
        *SessionPages(frame).routes(),
        *InboxPages(frame, rooms).routes(),
        *PolicyPages(frame, rooms).routes(),
        *MatrixPages(frame, rooms).routes(),
        *OverviewPages(frame, rooms).routes(),
        *DeadLetterPages(frame, rooms).routes(),
        *TokenPages(frame, rooms).routes(),
        frame.asset_route(),
    ]
