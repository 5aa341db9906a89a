"""Somebody becomes known and looks at a page at the same moment: told with the page, in whatever batches the two come."""

import pytest

from tests.integration.scoring.conftest import event

WHO = {"email": "now@nordwind.example", "anonymous": "c-now"}
HERE = {"trust": "publishable"}


def page(n=0):
    return event("page.viewed", {"anonymous": "c-now"}, path="/pricing", ago=1 + n, **HERE)


def known():
    return event("person.identified", WHO, traits={"title": "COO"}, **HERE)


async def visits(rig):
    return [(c.visitor, c.path) for scored in await rig.scored() for c in scored.causes if c.signal == "page.viewed"]


@pytest.mark.parametrize("first", ["page", "known"])
async def test_in_one_batch(rig, first):
    await rig.feed(*((page(), known()) if first == "page" else (known(), page())))
    assert await visits(rig) == [("c-now", "/pricing")]


async def test_in_two_batches_of_which_the_first_is_not_committed_yet(rig):
    before, after = rig.batch(page()), rig.batch(known(), part=1)
    handler = rig.handler
    work = await handler.prepare(before)
    then = await handler.prepare(after)
    await handler.apply(before, work)
    await handler.apply(after, then)
    assert await visits(rig) == [("c-now", "/pricing")]


async def test_what_is_committed_already_is_told_once(rig):
    await rig.feed(page())
    await rig.feed(page(1), known())
    assert await visits(rig) == [("c-now", "/pricing")] * 2
