"""The pages of marketing operations and of operations, together."""

from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.pages.channels import ChannelPages
from services.console.pages.dead_letters import DeadLetterPages
from services.console.pages.deliveries import DeliveryPages
from services.console.pages.funnel import FunnelPages
from services.console.pages.matrix import MatrixPages
from services.console.pages.overview import OverviewPages
from services.console.pages.policy import PolicyPages
from services.console.pages.sources import SourcePages
from services.console.pages.templates import TemplatePages
from services.console.pages.tokens import TokenPages
from services.console.pages.trial import TrialPages
from services.console.rooms import ConsoleRooms


def desk_routes(frame: Frame, rooms: ConsoleRooms) -> list[BaseRoute]:
    """Their routes."""
    endpoints, ledger = rooms.notify.endpoints, rooms.notify.ledger
    return [
        *PolicyPages(frame, rooms).routes(),
        *TrialPages(frame, rooms).routes(),
        *MatrixPages(frame, rooms).routes(),
        *TemplatePages(frame, rooms).routes(),
        *FunnelPages(frame, rooms).routes(),
        *SourcePages(frame, rooms).routes(),
        *OverviewPages(frame, rooms).routes(),
        *DeadLetterPages(frame, rooms).routes(),
        *(ChannelPages(frame, endpoints).routes() if endpoints is not None else ()),
        *(DeliveryPages(frame, endpoints, ledger).routes() if endpoints is not None and ledger is not None else ()),
        *TokenPages(frame, rooms).routes(),
    ]
