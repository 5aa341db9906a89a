"""What the pages ask: the Python doors of the other rooms, put together by `services/cli/compose.py`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.directory.store import DirectoryCache, DirectoryStore
from services.eventlog.ports import Log
from services.ingest.service import IngestService
from services.notify.service import NotifyService
from services.policy.cache import PolicyCache
from services.policy.store import PolicyStore
from services.router.service import RouterService
from services.runtime.access import Access
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.health import Loops
from services.scoring.service import ScoringService


async def _no_key() -> str | None:
    return None


@dataclass(frozen=True)
class ConsoleRooms:
    """The rooms of one process that has all stages."""

    access: Access
    clock: Clock
    db: Database
    log: Log
    loops: Loops
    ingest: IngestService
    notify: NotifyService
    router: RouterService
    scoring: ScoringService
    directory: DirectoryCache
    directory_store: DirectoryStore
    policies: PolicyCache
    policy_store: PolicyStore
    # The publishable key that the demo site uses; None: there is no demo site here.
    demo_key: Callable[[], Awaitable[str | None]] = _no_key
