"""The engine of deliveries over a real PostgreSQL and a far side of our own: once, in time, and never in another's way."""

import base64
from datetime import UTC, datetime

import msgspec
from standardwebhooks import Webhook

from services.runtime.db import Database
from tests.integration.notify.far import Rig, notice, put, running
from tests.support.farside import FarSide

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


async def test_a_notice_goes_out_once_signed_and_changes_follow(database: Database) -> None:
    async with FarSide() as far, running(Rig(database)) as rig:
        await rig.add(url=far.url + "/in?k=1", secret=SECRET)
        one = notice(rig.clock)
        await put(database, one)
        (first,) = await far.came(1)
        assert (first.method, first.path) == ("POST", "/in?k=1")
        told = Webhook(SECRET).verify(first.body, first.headers)
        assert (told["type"], told["data"]["id"]) == ("notice.new", one.id)
        await rig.settled(1)
        await put(database, msgspec.structs.replace(one, state="claimed", by="ben"))
        second = (await far.came(2))[1]
        told = Webhook(SECRET).verify(second.body, second.headers)
        assert (told["type"], told["data"]["by"]) == ("notice.claimed", "ben")
        assert first.headers["webhook-id"] != second.headers["webhook-id"]
        rows = await rig.settled(2)
        assert [(r["purpose"], r["state"], r["attempts"]) for r in rows] == [
            ("tell", "delivered", 1),
            ("change", "delivered", 1),
        ]
