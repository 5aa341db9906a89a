"""The console of one process: all its pages, put together."""

from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.pages.account import AccountPages
from services.console.pages.availability import AvailabilityPages
from services.console.pages.demo_site import DemoSitePages
from services.console.pages.desk import desk_routes
from services.console.pages.inbox import InboxPages
from services.console.pages.lead import LeadPages
from services.console.pages.nowhere import Nowhere
from services.console.pages.session import SessionPages
from services.console.rooms import ConsoleRooms


def console_routes(rooms: ConsoleRooms) -> list[BaseRoute]:
    """The console's routes: one line a page class; each takes what it needs of the rooms."""
    frame = Frame(rooms.access, rooms.clock)
    return [
        *SessionPages(frame).routes(),
        *InboxPages(frame, rooms).routes(),
        *LeadPages(frame, rooms).routes(),
        *AccountPages(frame, rooms).routes(),
        *AvailabilityPages(frame, rooms).routes(),
        *desk_routes(frame, rooms),
        *DemoSitePages(frame, rooms.demo_key).routes(),
        frame.asset_route(),
        Nowhere(frame),
    ]
