"""`/v1/sources`: who may send events, with which keys. Keys and secrets are shown once, when they are made."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, tuple_
from starlette.responses import Response

from services.ingest.commands import base_url, create_source, describe, rotate_source
from services.ingest.store import NewSource, SourceCache, SourceStore
from services.ingest.tables import source as table
from services.runtime.access import Identity, require
from services.runtime.db import Database
from services.runtime.http import ApiError, Cursor, Limit, decode_cursor, encode_cursor, page
from services.runtime.settings import Settings

Marketing = Annotated[Identity, Depends(require("admin", "marketing"))]


class SourceIn(BaseModel):
    """A source to be made."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(min_length=1, max_length=128)
    platform: str = Field("segment", min_length=1, max_length=64)
    write_key: str | None = Field(None, max_length=256)
    secret: str | None = Field(None, max_length=512)
    publishable: bool = False


class RotateIn(BaseModel):
    """A rotation; a secret that the platform has made is given here."""

    model_config = ConfigDict(strict=True, extra="forbid")

    secret: str | None = Field(None, max_length=512)


class DisableIn(BaseModel):
    """Off, or on again."""

    model_config = ConfigDict(strict=True, extra="forbid")

    disabled: bool = True


def source_router(store: SourceStore, cache: SourceCache, db: Database, settings: Settings) -> APIRouter:
    """The API of sources, for roles admin and marketing."""
    router = APIRouter(prefix="/v1/sources", tags=["sources"])

    def hook_url(source_id: str) -> str:
        return f"{base_url(settings)}/hooks/{source_id}"

    def fresh(made: NewSource) -> dict[str, Any]:
        return {
            "id": made.id,
            "name": made.name,
            "platform": made.platform,
            "publishable": made.publishable,
            "write_key": made.write_key,
            "secret": made.secret,
            "hook_url": hook_url(made.id),
        }

    def shown(row: Any) -> dict[str, Any]:
        return {
            "id": row.id,
            "name": row.name,
            "platform": row.platform,
            "publishable": row.publishable,
            "disabled": row.disabled,
            "signed": row.secret is not None,
            "hook_url": hook_url(row.id),
            "created_at": row.created_at,
            "rotated_at": row.rotated_at,
            "seen_at": row.seen_at,
            "accepted": row.accepted,
            "rejected": row.rejected,
        }

    async def one(source_id: str) -> dict[str, Any]:
        found = await describe(db, store, settings, source_id)
        if found is None or found["id"] != source_id:
            raise _none(source_id)
        return found

    @router.get("")
    async def list_sources(_who: Marketing, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """Sources, newest first."""
        query = select(table).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
        after = decode_cursor(cursor, str)
        if after is not None:
            last = select(table.c.created_at).where(table.c.id == after[0]).scalar_subquery()
            query = query.where(tuple_(table.c.created_at, table.c.id) < tuple_(last, after[0]))
        async with db.begin() as connection:
            rows = (await connection.execute(query)).all()
        more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return page([shown(row) for row in rows[:limit]], more)

    @router.post("", status_code=201)
    async def create(_who: Marketing, body: SourceIn) -> dict[str, Any]:
        """Make a source. The write key and the secret are shown this once."""
        made = await create_source(
            store, body.name, body.platform, body.write_key, body.secret, publishable=body.publishable
        )
        await cache.refresh()
        return fresh(made)

    @router.get("/{source_id}")
    async def show(_who: Marketing, source_id: str) -> dict[str, Any]:
        """One source: what to do in its platform, what came last, what was refused and why."""
        return await one(source_id)

    @router.delete("/{source_id}", status_code=204)
    async def delete(_who: Marketing, source_id: str) -> Response:
        """Forget a source: its key and its hook stop working. Events that it sent stay."""
        if not await store.delete(source_id):
            raise _none(source_id)
        await cache.refresh()
        return Response(status_code=204)

    @router.post("/{source_id}/rotate")
    async def rotate(_who: Marketing, source_id: str, body: RotateIn | None = None) -> dict[str, Any]:
        """A new write key (and secret). Those before go on working until the next rotation."""
        await cache.refresh()
        source = await cache.by_id(source_id)
        made = await rotate_source(store, source, body.secret if body else None) if source else None
        if made is None:
            raise _none(source_id)
        await cache.refresh()
        return fresh(made)

    @router.post("/{source_id}/disable")
    async def disable(_who: Marketing, source_id: str, body: DisableIn | None = None) -> dict[str, Any]:
        """Refuse what the source sends; `{"disabled": false}` takes it again."""
        if not await store.disable(source_id, disabled=body.disabled if body else True):
            raise _none(source_id)
        await cache.refresh()
        return await one(source_id)

    return router


def _none(source_id: str) -> ApiError:
    return ApiError(404, "not_found", f"there is no source {source_id[:64]!r}")
