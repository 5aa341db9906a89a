"""A HubSpot of ours over real HTTP: contacts by id, as the CRM API gives them."""

import asyncio
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.runtime.clock import SystemClock
from tests.integration.ingest.conftest import Ingest

TOKEN = "pat-eu1-secret"
ANNE = "anne@nordwind.example"


class HubSpot:
    """Contacts by id; answers with a status first where it is told to."""

    def __init__(self) -> None:
        self.contacts: dict[str, dict[str, Any]] = {"7": {"email": ANNE, "firstname": "Anne", "jobtitle": "CFO"}}
        self.calls: Counter[str] = Counter()
        self.first: list[tuple[int, dict[str, str]]] = []
        self.asked_now = self.most_at_once = 0
        self.delay_s = 0.0
        self.held: asyncio.Event | None = None  # answers come when it is set

    async def contact(self, request: Request) -> Response:
        self.asked_now += 1
        self.most_at_once = max(self.most_at_once, self.asked_now)
        try:
            return await self._answer(request)
        finally:
            self.asked_now -= 1

    async def _answer(self, request: Request) -> Response:
        number = request.path_params["number"]
        self.calls[number] += 1
        assert "email" in request.query_params["properties"]
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(self.delay_s)
        if self.first:
            status, headers = self.first.pop(0)
            return Response(status_code=status, headers=headers)
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return Response(status_code=401)
        found = self.contacts.get(number)
        if found is None:
            return JSONResponse({"status": "error"}, 404)
        return JSONResponse({"id": number, "properties": found})


def opened(event: int, number: int = 7, name: str = "hs_email_last_open_date") -> dict[str, Any]:
    now = int(SystemClock().now().timestamp() * 1000)
    return {
        "eventId": 1000 + event,
        "subscriptionId": 1,
        "portalId": 62515,
        "appId": 1,
        "occurredAt": now + event,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": number,
        "propertyName": name,
        "propertyValue": str(now + event),
    }


async def hooked(ingest: Ingest) -> str:
    made = await ingest.create("hs", "hubspot")
    answer = await ingest.api("PUT", f"/v1/sources/{made.id}/api-token", json={"api_token": TOKEN})
    assert answer.json() == {"looks_up": True}
    return made.id


async def until(ingest: Ingest, count: int, seconds: float = 10) -> list[Any]:
    async with asyncio.timeout(seconds):
        while len(found := await ingest.events()) < count:
            await asyncio.sleep(0.1)
    return found
