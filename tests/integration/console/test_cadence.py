"""A contact step from the policy to the rep's inbox and away again, through the whole application."""

import asyncio
from typing import Any

import httpx
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from services.runtime.db import Database
from tests.integration.console.conftest import Desk
from tests.integration.console.test_pages import card_of, text


def step_of(page: httpx.Response) -> Any:
    """The open card of a step; None when there is none."""
    cards = HTMLParser(page.text).css("article.notice:not([data-section=past])")
    return next((one for one in cards if "Day 0 of the cadence" in one.text()), None)


async def test_a_step_comes_to_the_inbox_and_is_ticked_off(played: Desk, database: Database) -> None:
    async with played.signed_in("anna") as anna:
        offered = card_of(await anna.get("/inbox"), "Vera Virta")
        fields = {"answer": "accept", "assignment": offered["assignment"], "gen": offered["gen"]}
        assert (await anna.post(f"/inbox/{offered['id']}/answer", data=fields)).status_code == 200
        lead = await played.lead("Vera")
        assert "Cadence “first-two-weeks”, 0 of 4 steps told; next: call" in text(
            await anna.get(f"/leads/{lead['id']}")
        )
        async with database.raw() as pg:
            # Two working hours have passed.
            await pg.execute("UPDATE router.timer SET due_at = now() WHERE kind = 'cadence'")
        async with asyncio.timeout(20):
            while "Day 0 of the cadence" not in text(shown := await anna.get("/inbox")):
                await asyncio.sleep(0.1)
        step = step_of(shown)
        buttons = [button.attributes["value"] for button in step.css("form.answers button[name=answer]")]
        assert buttons == ["seen"], "nothing to answer: the lead is hers"
        await anna.post(f"/inbox/{step.attributes['data-id']}/answer", data={"answer": "seen"})
        assert step_of(await anna.get("/inbox")) is None
        assert "Cadence “first-two-weeks”, 1 of 4 steps told; next: mail" in text(
            await anna.get(f"/leads/{lead['id']}")
        )
        assert (await anna.get(f"/v1/leads/{lead['id']}")).json()["cadence"]["next"]["day"] == 2
