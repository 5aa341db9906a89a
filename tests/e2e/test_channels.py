"""The product tells a rep in Slack and a system by webhook; a button in Slack takes the lead. One story, whole way."""

import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

from services.cli.stories import Cast, Teller
from tests.e2e.product import Product
from tests.support.farside import FarSide
from tests.support.scene import Scene
from tests.support.workspace import Workspace

pytestmark = [pytest.mark.timeout(240)]
SIGNING = "8f742231b10e8888abcd99yyyzzz85a5"


async def until(check, what: str, seconds: float = 20.0):
    async with asyncio.timeout(seconds):
        while True:
            if found := check():
                return found
            await asyncio.sleep(0.05)
    raise AssertionError(what)


async def test_a_lead_reaches_slack_and_is_taken_there(database_url: str, tmp_path: Path) -> None:
    product = Product(
        tmp_path / "data", LEAD_ROUTER_DATABASE_URL=database_url, LEAD_ROUTER_OUTGOING_NETWORKS="127.0.0.0/8"
    )
    slack = Workspace()
    await product.start()
    try:
        client = product.client()
        headers = {"Authorization": f"Bearer {client.access['admin']}"}
        async with FarSide(slack) as far, FarSide() as system, httpx.AsyncClient(base_url=product.url) as http:
            values = {"token": "xoxb-test", "api": far.url, "signing_secret": SIGNING}
            made = await http.post(
                "/v1/channels", json={"name": "slack", "kind": "slack_bot", "values": values}, headers=headers
            )
            assert made.status_code == 201, made.text
            hook = {"name": "system", "kind": "webhook", "values": {"url": system.url}}
            made = await http.post("/v1/channels", json=hook, headers=headers)
            secret = made.json()["secrets"]["secret"]
            emails = {e: f"U{e}" for e in ("anna@seller.example", "ben@seller.example")}
            slack.users = emails
            scene = Scene(client, Teller(client, Cast(suffix="channels")))
            person = scene.person("Vera", "Virta", "nordwind.example", "VP Operations")
            lead = await scene.known(person)
            where = "DUanna@seller.example"
            (told,) = await until(lambda: slack.messages.get(where), "no message in Slack")
            assert "Vera Virta" in told["text"]
            first = (await system.came(1))[0]
            assert Webhook(secret).verify(first.body, first.headers)["data"]["lead"]["email"] == person["email"]

            async def press(user: str) -> int:
                actions = next(b for b in told["blocks"] if b["type"] == "actions")["elements"]
                pressed = {
                    "type": "block_actions",
                    "user": {"id": user},
                    "actions": [actions[0]],
                    "response_url": far.url + "/respond",
                }
                body, at = urlencode({"payload": json.dumps(pressed)}), str(int(time.time()))
                signature = SignatureVerifier(SIGNING).generate_signature(timestamp=at, body=body) or ""
                signed = {"x-slack-request-timestamp": at, "x-slack-signature": signature}
                return (await http.post("/v1/slack/actions", content=body, headers=signed)).status_code

            assert await press("Uben@seller.example") == 200
            assert "anna" in far.requests[-1].json["text"]
            assert await press("Uanna@seller.example") == 200
            shown = await client.get(f"/v1/leads/{lead['id']}")
            assert (shown["assignment"]["state"], shown["assignment"]["rep"]) == ("accepted", "anna")
            await until(lambda: "You have accepted it." in json.dumps(told["blocks"]), "the message does not change")
            kinds = [Webhook(secret).verify(r.body, r.headers)["type"] for r in await system.came(2)]
            assert kinds == ["notice.new", "notice.claimed"]
        await client.close()
    finally:
        assert await product.stop() == 0
