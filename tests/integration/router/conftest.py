from collections.abc import AsyncIterator

import pytest

from services.eventlog.open import open_log
from services.runtime.db import Database, Listener
from services.runtime.settings import Settings
from tests.support.routing import Room


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    log = open_log(Settings(partitions=4), database, Listener(database))
    await log.ensure_topics()
    yield await Room(database, log).own()
    await log.close()
