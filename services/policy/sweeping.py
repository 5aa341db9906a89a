"""A policy put to leads that nothing happens to: activate with a sweep, see how many leads it means and how far it is.

Without a sweep a lead comes under a new policy with its next event. The leads are scoring's: it does the work, a bounded
number a second and without alerts, and is given to us as `Sweeps`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from services.policy.cache import PolicyCache
from services.policy.store import PolicyStore, Stored
from services.runtime.access import Identity, require
from services.runtime.errors import Refused

MAX_INT = 2**31 - 1
Reader = Annotated[Identity, Depends(require("marketing", "ops"))]
Writer = Annotated[Identity, Depends(require("marketing"))]


class Sweeps(Protocol):
    """What we need of whoever holds the leads."""

    async def preview(self) -> int:
        """How many leads would be told anew."""
        ...

    async def begin(self, version: int) -> None:
        """Put this version to every lead; one under way begins anew."""
        ...

    async def state(self) -> Mapping[str, Any]:
        """How far the last one is: state, version, looked, told, started_at, finished_at."""
        ...


class Activation(BaseModel):
    """Which version comes in force, and whether leads that are there are put to it at once."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: int = Field(ge=1, le=MAX_INT)
    sweep: bool = False
    over: int | None = Field(default=None, ge=1, le=MAX_INT, description="409 when another version is in force")


def sweep_router(cache: PolicyCache, store: PolicyStore, sweeps: Sweeps) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/policy", tags=["policy"])

    async def shown() -> dict[str, Any]:
        return {"leads": await sweeps.preview(), **await sweeps.state()}

    @router.get("/sweep")
    async def show(_caller: Reader) -> dict[str, Any]:
        """How many leads a sweep would tell anew, and how far the last one is."""
        return await shown()

    @router.post("/sweep", status_code=202)
    async def begin(_caller: Writer) -> dict[str, Any]:
        """Put the policy in force to every lead, a bounded number a second, without alerts."""
        stored = await store.active()
        if stored is None:
            raise Refused("no policy was ever put in force", code="not_found")
        await sweeps.begin(stored.version)
        return await shown()

    @router.post("/activate")
    async def activate(caller: Writer, asked: Activation) -> dict[str, Any]:
        """Put a saved version in force; one older than the version in force comes back under a new number."""
        stored = await activated(
            store, sweeps, asked.version, caller.name or caller.role, sweep=asked.sweep, over=asked.over
        )
        await cache.refresh()
        return {"version": stored.version, "copy_of": stored.copy_of, "sweep": await shown() if asked.sweep else None}

    return router


async def activated(
    store: PolicyStore, sweeps: Sweeps, version: int, who: str, *, sweep: bool, over: int | None = None
) -> Stored:
    """Put a version in force, and to every lead if that is wanted.

    Raises:
        Refused: `not_found`.
        Conflict: Another version is in force than `over`.
    """
    stored = await store.activate(version, who, over)
    if sweep:
        await sweeps.begin(stored.version)
    return stored
