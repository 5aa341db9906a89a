"""The policy in force, compiled, in every process: read at start, read again whenever somebody changes it."""

import asyncio
import contextlib
from typing import Final

import structlog
from prometheus_client import Gauge

from services.policy.core.compile import compile_policy
from services.policy.core.policy import Policy
from services.policy.core.problems import PolicyError
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import Misconfigured, Unavailable
from services.runtime.telemetry import REGISTRY

log = structlog.get_logger(__name__)

CHANNEL: Final = "policy_changed"
# A notification can be lost with its connection; the listener then calls once more, and this is the net below it.
POLL_S: Final = 30.0
# A stage that meets a message of a newer policy does not ask the database more often than this, in seconds.
ASK_AGAIN_S: Final = 1.0

VERSION_IN_FORCE = Gauge("leadrouter_policy_version", "Version of the policy in force", registry=REGISTRY)

_ACTIVE: Final = "SELECT version, body FROM policy.active JOIN policy.version USING (version)"


class PolicyCache:
    """Holds the compiled policy. `active` never waits.

    Metrics: leadrouter_policy_version
    """

    def __init__(self, db: Database, listener: Listener, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._policy: Policy | None = None
        self._asked_at = float("-inf")
        self._changed = asyncio.Event()
        self._loading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        listener.on(CHANNEL, self._notified)

    @property
    def active(self) -> Policy:
        """The policy in force.

        Raises:
            Unavailable: `no_policy`: none was ever put in force.
        """
        if self._policy is None:
            msg = "no policy is in force; put one with `lead-router policy put examples/policy.yaml` or PUT /v1/policy"
            raise Unavailable(msg, code="no_policy")
        return self._policy

    @property
    def ready(self) -> str | None:
        """None when a policy is in force, else what to do."""
        return None if self._policy is not None else "no policy is in force; put one with PUT /v1/policy"

    async def start(self) -> None:
        """Read the policy in force, if there is one, and follow changes.

        Raises:
            Misconfigured: This release does not accept the stored policy.
            Unavailable: The database does not answer.
        """
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="policy cache")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def at_least(self, version: int) -> Policy:
        """The policy in force, read again first when it is older than `version`.

        Returns the newest there is, even if that is still older (a database that was restored from a backup).
        """
        if self.active.version < version and self._clock.monotonic() - self._asked_at >= ASK_AGAIN_S:
            self._asked_at = self._clock.monotonic()
            await self.refresh()
            if self.active.version < version:
                log.warning("policy_behind", wanted=version, have=self.active.version)
        return self.active

    async def refresh(self) -> None:
        """Read the policy in force now.

        Raises:
            Misconfigured: It does not compile; the one before stays in use.
            Unavailable: The database does not answer.
        """
        async with self._loading:
            async with self._db.raw() as pg:
                row = await pg.fetchrow(_ACTIVE)
                if row is None or (self._policy is not None and self._policy.version == row["version"]):
                    return
                codes = {r["name"]: r["code"] for r in await pg.fetch("SELECT name, code FROM policy.signal_code")}
            try:
                policy = await asyncio.to_thread(compile_policy, row["body"], row["version"], codes)
            except PolicyError as error:
                msg = f"policy version {row['version']} is not accepted by this release: {error}"
                raise Misconfigured(msg, code="invalid_policy") from error
            self._policy = policy
        VERSION_IN_FORCE.set(policy.version)
        log.info("policy_loaded", version=policy.version)

    def _notified(self, _payload: str) -> None:
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), POLL_S)
            self._changed.clear()
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("policy_not_read", reason=error.message)
                await asyncio.sleep(1.0)
                self._changed.set()
            except Misconfigured as error:
                # Written by a newer release beside us: the old rules go on until this process is upgraded too.
                log.error("policy_not_accepted", reason=error.message)
