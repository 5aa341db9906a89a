"""A person asks to be forgotten: the request is done when every stage says so."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.e2e.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


async def test_a_request_goes_through_all_stages(tmp_path: Path) -> None:
    product = Product(tmp_path / "data")
    await product.start()
    try:
        client = product.client()
        email = "bye@fjordsoft.example"
        await client.batch([{"type": "identify", "userId": "bye", "traits": {"email": email}}])
        headers = {"Authorization": f"Bearer {client.access['admin']}"}
        http = httpx.AsyncClient(base_url=client.access["url"], headers=headers, timeout=30)
        async with http, asyncio.timeout(90):
            while not (await http.get("/v1/people", params={"email": email})).json()["items"]:
                await asyncio.sleep(0.1)
            job = (await http.delete(f"/v1/people/{email}")).json()
            while job["state"] != "done":
                await asyncio.sleep(0.1)
                job = (await http.get(f"/v1/people/jobs/{job['id']}")).json()
        assert job["scored_at"] is not None
        assert job["done_at"] >= job["scored_at"]
        assert await client.lead(email) is None
        await client.close()
    finally:
        await product.stop()
