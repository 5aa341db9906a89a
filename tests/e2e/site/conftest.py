"""A running product, a site that uses its snippet, and a visitor's browser."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.e2e.product import Product
from tests.e2e.site.shop import PERSON, WATCH, Shop


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A running product."""
    made = Product(tmp_path_factory.mktemp("site") / "data")
    asyncio.run(made.start())
    yield made
    asyncio.run(made.stop())


@pytest.fixture
async def shop(product: Product) -> AsyncIterator[Shop]:
    made = Shop(product)
    await made.server.start()
    yield made
    await made.server.stop(2)


@pytest.fixture
async def visitor(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A person's browser."""
    context = await chromium.new_context(user_agent=PERSON)
    context.set_default_timeout(20_000)
    await context.add_init_script(WATCH)
    yield context
    await context.close()
