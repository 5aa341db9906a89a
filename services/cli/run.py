"""Composes the stages into a running process: settings → database → rooms → stages → HTTP → stop.

The order matters and is the same everywhere: whatever is started later is stopped earlier. Nothing is built at import.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from schemas.topics import STAGES, StageName
from services.console.routes import console_routes
from services.directory.api import directory_router
from services.directory.store import DirectoryCache, DirectoryStore
from services.eventlog.api import log_router
from services.eventlog.open import open_log
from services.eventlog.ports import Log
from services.ingest.service import IngestService
from services.migrations.run import migrate
from services.notify.service import NotifyService
from services.policy.api import policy_router
from services.policy.store import PolicyCache, PolicyStore
from services.router.service import RouterService
from services.runtime import crash
from services.runtime.access import Access
from services.runtime.access_api import access_router
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.embedded import EmbeddedPostgres
from services.runtime.errors import Misconfigured
from services.runtime.health import Loops
from services.runtime.http import Server, make_app
from services.runtime.settings import Settings
from services.scoring.service import ScoringService

log = structlog.get_logger(__name__)


class Service(Protocol):
    """A stage as the composition sees it."""

    name: str

    def routes(self) -> Sequence[BaseRoute]: ...
    def routers(self) -> Sequence[APIRouter]: ...
    async def start(self, *, consume: bool = True) -> None: ...
    async def stop(self, deadline_s: float) -> None: ...
    async def ready(self) -> str | None: ...
