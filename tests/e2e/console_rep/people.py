"""The people of the rep's tests: somebody becomes known, and is found on a page or in the API."""

import time
from typing import Any

from playwright.async_api import Page

from services.cli.stories import Cast, Teller
from tests.support.console import Console, api

NORDWIND = "nordwind.example"


async def offered(
    console: Console, first: str, last: str = "Test", name: str | None = None, title: str = "VP Operations"
) -> dict[str, Any]:
    """Somebody at Nordwind becomes known: an offer to Anna. Returns the lead."""
    async with console.client() as client:
        teller = Teller(client, Cast(suffix=f"{time.monotonic_ns():x}"))
        person = teller.cast.person(first, last, NORDWIND, title)
        if name is not None:
            person["name"] = name
        await teller.send(teller.identify(person))
        lead = await teller.until(person["email"], lambda x: x.get("assignee") == "anna")
        assert lead is not None
        return lead


def card(page: Page, text: str) -> Any:
    return page.locator("article").filter(has_text=text)


async def lead_of(console: Console, email: str) -> dict[str, Any]:
    found = await api(console, "admin", "GET", "/v1/leads", params={"email": email})
    return dict(found.json()["items"][0])
