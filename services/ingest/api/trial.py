"""`/v1/sources/{id}/test` and `…/api-token`: try a payload out, and let contacts be looked up."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from services.ingest.commands import preview, set_api_token
from services.ingest.sources.registry import PLATFORMS
from services.ingest.store import Source, SourceCache, SourceStore
from services.runtime.access import Identity, require
from services.runtime.clock import Clock
from services.runtime.http import ApiError

Marketing = Annotated[Identity, Depends(require("admin", "marketing"))]


class ApiTokenIn(BaseModel):
    """A token for the platform's API."""

    model_config = ConfigDict(strict=True, extra="forbid")

    api_token: str | None = Field(max_length=512)


def trial_router(
    store: SourceStore, cache: SourceCache, clock: Clock, spellings: Callable[[], Mapping[str, str]]
) -> APIRouter:
    """For roles admin and marketing.

    Args:
        spellings: The company's own names of events, as the policy in force has them.
    """
    router = APIRouter(prefix="/v1/sources", tags=["sources"])

    async def known(source_id: str) -> Source:
        await cache.refresh()
        source = await cache.by_id(source_id)
        if source is None:
            raise ApiError(404, "not_found", f"there is no source {source_id[:64]!r}")
        return source

    @router.post("/{source_id}/test")
    async def test(_who: Marketing, source_id: str, request: Request) -> dict[str, Any]:
        """What the body would become if this source sent it. Nothing is kept, no signature is checked.

        What stands behind the address is what would stand behind the hook's (the field map of a generic source).
        """
        source = await known(source_id)
        return preview(
            PLATFORMS[source.platform],
            await request.body(),
            now=clock.now(),
            headers=dict(request.headers),
            query=dict(request.query_params),
            spellings=spellings(),
        )

    @router.put("/{source_id}/api-token")
    async def api_token(_who: Marketing, source_id: str, body: ApiTokenIn) -> dict[str, bool]:
        """With which token contacts are looked up at the platform; null: not any more."""
        source = await known(source_id)
        await set_api_token(store, source_id, source.platform, body.api_token)
        await cache.refresh()
        return {"looks_up": body.api_token is not None}

    return router
