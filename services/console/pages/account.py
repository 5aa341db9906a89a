"""`/accounts/{domain}`: a company, its people, its owner, what they did lately."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.answering import Answering
from services.console.frame import Frame
from services.console.rooms import ConsoleRooms
from services.console.views import lead as view
from services.router.store.reads import Filters
from services.runtime.errors import Refused

PEOPLE: Final = 50
ACTIVITY: Final = 30


class AccountPages:
    """A rep sees an account that they own, or of which they see a lead."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._rooms = rooms
        self._answering = Answering(rooms)

    def routes(self) -> Sequence[BaseRoute]:
        """One page."""
        return (self._frame.page("/accounts/{domain}", self.account, "rep", "marketing", "ops"),)

    async def account(self, request: Request) -> Response:
        """The company."""
        identity = await self._frame.signed_in(request)
        domain = str(request.path_params["domain"]).lower().replace("\x00", "")[:253]
        leads, _ = await self._rooms.router.leads.page(identity, Filters(domain=domain), PEOPLE, None)
        known = self._rooms.directory.view.account(domain)
        if not leads and (known is None or (identity.role == "rep" and known.owner != identity.rep)):
            raise Refused("there is no such account, or it is not yours to see", code="not_found")
        seen: dict[str, Any] = next((one["account"] for one in leads if one["account"]), {}) if known is None else {}
        facts: dict[str, Any] = {
            "domain": domain,
            "name": (known.name if known else seen.get("name")) or domain,
            "industry": known.industry if known else seen.get("industry"),
            "employees": known.employees if known else seen.get("employees"),
            "country": known.country if known else seen.get("country"),
            "named": known.named if known else False,
            "owner": known.owner if known else None,
        }
        names, now, zone = self._answering.names(), self._frame.clock.now(), self._answering.zone(identity.rep)
        owner = self._rooms.directory.view.rep(facts["owner"]) if facts["owner"] else None
        acts = sorted(
            ({**what, "who": view.called(one), "lead_id": one["id"]} for one in leads for what in one["recent"]),
            key=lambda what: what["at"],
            reverse=True,
        )
        shown = [
            {"who": act["who"], "lead_id": act["lead_id"], "moment": view.moments([_item(act)], now, zone)[0]}
            for act in acts[:ACTIVITY]
        ]
        return self._frame.draw(
            "account.html",
            identity=identity,
            account=facts,
            owner=owner,
            people=view.lines(leads, names, now, company=False),
            acts=shown,
        )


def _item(act: dict[str, Any]) -> dict[str, Any]:
    return {"signal": act["signal"], "occurred_at": act["at"], "url": act.get("url"), "state": "scored"}
