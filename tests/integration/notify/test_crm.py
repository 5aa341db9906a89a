"""HubSpot, Salesforce and Pipedrive against far sides that keep people, owners and tasks as they do."""

from datetime import timedelta

import msgspec
import pytest

from services.notify.core.crm import names_of
from services.runtime.clock import FixedClock
from services.runtime.errors import BadMessage
from tests.integration.notify.far import Rig, notice, put
from tests.integration.notify.vendors import VERA, HubSpot, Pipedrive, Salesforce, Vendor
from tests.support import farside
from tests.support.farside import FarSide

VENDORS = (HubSpot, Salesforce, Pipedrive)


async def connect(rig: Rig, vendor: Vendor, url: str, **more: str) -> str:
    values = {
        "hubspot": {"token": "pat-test", "api": url},
        "salesforce": {"domain": url, "client_id": "id", "client_secret": "s3cret"},
        "pipedrive": {"domain": url, "token": "pd-test"},
    }[vendor.kind]
    return await rig.add(vendor.kind, **values, **more)


@pytest.mark.parametrize("make", VENDORS)
async def test_an_offer_makes_the_rep_the_owner_and_a_task(rig: Rig, clock: FixedClock, make: type[Vendor]) -> None:
    vendor = make()
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url)
        one = notice(clock)
        one.lead.name = "<script>alert(1)</script>"
        await put(rig.db, one)
        await rig.work()
        assert vendor.owners == {"100": "11"}
        (task,) = vendor.tasks.values()
        assert (task["owner"], task["person"], task["done"]) == ("11", "100", False)
        assert task["subject"].startswith("New lead for you")
        for words in ("Named account, identified.", "/pricing", "Hi Vera", f"/leads/{one.lead.id}", "lead-router "):
            assert words in task["body"]
        # An alert is nothing for a CRM.
        await put(rig.db, notice(clock, kind="visiting_now"))
        await rig.work()
        assert len(vendor.tasks) == 1
        # Withdrawn: the task is over.
        await put(rig.db, msgspec.structs.replace(one, state="recalled", note="The click was a machine's."))
        await rig.work()
        assert [t["done"] for t in vendor.tasks.values()] == [True]
    assert {r["state"] for r in await rig.rows()} == {"delivered"}


@pytest.mark.parametrize("make", VENDORS)
async def test_a_create_that_may_have_arrived_is_not_made_twice(
    rig: Rig, clock: FixedClock, make: type[Vendor]
) -> None:
    vendor = make()
    create = {
        "hubspot": "POST /crm/v3/objects/tasks",
        "salesforce": "sobjects/Task",
        "pipedrive": "POST /api/v2/activities",
    }
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url)
        if make is HubSpot:
            real = vendor.answer

            def once(request, word, path, query, torn=[True]):  # noqa: B006 a flag
                told = real(request, word, path, query)
                if word == create["hubspot"] and torn:
                    torn.pop()
                    return farside.torn()
                return told

            vendor.answer = once
        else:
            vendor.moods[create[make.kind]] = [farside.torn()]
        await put(rig.db, notice(clock))
        await rig.work()
        assert len(vendor.tasks) == 1
        (row,) = await rig.rows()
        assert (row["state"], row["uncertain"]) == ("due", True)
        clock.at += timedelta(minutes=1)
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["detail"]) == ("delivered", "the task was there already")
        assert len(vendor.tasks) == 1


@pytest.mark.parametrize("make", VENDORS)
async def test_who_is_not_there_is_made_only_when_asked(rig: Rig, clock: FixedClock, make: type[Vendor]) -> None:
    vendor = make(people=())
    async with FarSide(vendor) as far:
        endpoint = await connect(rig, vendor, far.url)
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], vendor.people, vendor.tasks) == ("delivered", {}, {})
        assert "nobody there" in row["detail"]
        await rig.store.delete(endpoint)
        await connect(rig, vendor, far.url, create_missing="yes")
        await put(rig.db, notice(clock))
        await rig.work()
        assert list(vendor.people) == [VERA]
        assert len(vendor.tasks) == 1


@pytest.mark.parametrize("make", VENDORS)
async def test_busy_broken_and_unknown(rig: Rig, clock: FixedClock, make: type[Vendor]) -> None:
    vendor = make()
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url, set_owner="accept")
        vendor.moods[" /"] = [farside.too_many(30)]
        one = notice(clock)
        await put(rig.db, one)
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["reason"]) == ("due", "overloaded")
        clock.at += timedelta(minutes=2)
        vendor.moods[" /"] = [farside.text("<html>maintenance</html>", 503)]
        await rig.work()
        clock.at += timedelta(minutes=2)
        vendor.moods[" /"] = [farside.text("<html>no JSON</html>")]
        await rig.work()
        clock.at += timedelta(minutes=2)
        await rig.work()
        assert len(vendor.tasks) == 1
        assert vendor.owners == {}, "only once the rep has accepted"
        accepted = msgspec.structs.replace(one.assignment, state="accepted")
        await put(rig.db, msgspec.structs.replace(one, state="claimed", by="anna", assignment=accepted))
        await rig.work()
        assert vendor.owners == {"100": "11"}
        assert [t["done"] for t in vendor.tasks.values()] == [False]
        rig.people["ben"] = msgspec.structs.replace(rig.people["ben"], email="nobody@aurora.example")
        await put(rig.db, notice(clock, rep="ben"))
        await rig.work()
        (row,) = await rig.rows("rep_id = 'ben'")
        assert (row["state"], row["reason"]) == ("gave_up", "refused")
        assert "no user" in row["detail"]


async def test_who_has_left_the_crm_gets_no_more_leads_there(rig: Rig, clock: FixedClock) -> None:
    vendor = Pipedrive()
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url)
        await put(rig.db, notice(clock))
        await rig.work()
        assert vendor.owners == {"100": "11"}
        del vendor.users["anna@aurora.example"]
        await put(rig.db, notice(clock))
        await rig.work()
        assert len(vendor.tasks) == 1
        assert [r["reason"] for r in await rig.rows("state = 'gave_up'")] == ["refused"]


async def test_what_was_over_before_the_crm_heard_of_it_changes_nothing_there(rig: Rig, clock: FixedClock) -> None:
    vendor = HubSpot()
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url, set_owner="accept")
        one, other = notice(clock), notice(clock)
        await put(rig.db, one, other)
        await rig.planner.turn()
        await put(rig.db, msgspec.structs.replace(one, state="recalled"))
        await rig.work()
        assert (vendor.owners, [t["person"] for t in vendor.tasks.values()]) == ({}, ["100"])
        # Accepted before it was told: the one message does both.
        third = notice(clock)
        await put(rig.db, third)
        await rig.planner.turn()
        accepted = msgspec.structs.replace(third.assignment, state="accepted")
        await put(rig.db, msgspec.structs.replace(third, state="claimed", by="anna", assignment=accepted))
        await rig.work()
        assert (vendor.owners, len(vendor.tasks)) == ({"100": "11"}, 2)


async def test_salesforce_renews_its_token_and_knows_converted_leads(rig: Rig, clock: FixedClock) -> None:
    vendor = Salesforce()
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url)
        await put(rig.db, notice(clock))
        await rig.work()
        vendor.token, vendor.converted = 2, True
        await put(rig.db, notice(clock))
        await rig.work()
        assert len(vendor.tasks) == 2
        assert vendor.said.count("POST /services/oauth2/token") == 2


async def test_a_quote_in_an_address_ends_no_query(rig: Rig, clock: FixedClock) -> None:
    evil = "o'evil\\' or Id != '@nordwind.example"
    vendor = Salesforce(people=(evil,))
    async with FarSide(vendor) as far:
        await connect(rig, vendor, far.url)
        one = notice(clock)
        one.lead.email = evil
        await put(rig.db, one)
        await rig.work()
        assert vendor.owners == {"100": "11"}


@pytest.mark.parametrize("token", ["pat-s3cret\n", "pät-s3cret"])
async def test_a_secret_that_no_header_takes_is_not_repeated(rig: Rig, clock: FixedClock, token: str) -> None:
    async with FarSide() as far:
        endpoint = await rig.add("hubspot", token="x", api=far.url)
        await rig.store.rotate(endpoint, {"token": token}, None, clock.now())
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["uncertain"]) == ("due", False)
        assert "no header takes" in row["detail"]
        assert "s3cret" not in row["detail"]
        assert far.requests == []


async def test_options_are_checked_and_names_taken_apart(rig: Rig) -> None:
    with pytest.raises(BadMessage, match="set_owner"):
        await rig.add("hubspot", token="x", set_owner="always")
    with pytest.raises(BadMessage, match="create_missing"):
        await rig.add("hubspot", token="x", create_missing="maybe")
    endpoint = await rig.add("hubspot", token="x")
    for bad in ("", "pat\nx", "x" * 2001):
        with pytest.raises(BadMessage, match="token"):
            await rig.endpoints.rotate(endpoint, {"token": bad})
    assert await rig.store.secrets(endpoint) == ({"token": "x"}, {})
    assert names_of("Vera Virta") == ("Vera", "Virta")
    assert names_of("Vera de la Virta") == ("Vera", "de la Virta")
    assert names_of("Vera") == ("", "Vera")
    assert names_of(" ") == ("", "Unknown")
