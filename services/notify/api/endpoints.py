"""`/v1/channels`: where notices go beside the inbox. `/v1/ops/deliveries`: what went out, what did not, and replay."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.notify.handler.endpoints import Change, Draft, Endpoints
from services.notify.store.endpoints import Stored
from services.notify.store.ledger import Filter, Ledger
from services.runtime.access import Identity, require
from services.runtime.clock import Clock
from services.runtime.errors import Refused
from services.runtime.http import Cursor, Limit, decode_place, encode_place, page

Setting = Annotated[Identity, Depends(require("marketing"))]
Seeing = Annotated[Identity, Depends(require("marketing", "ops"))]
Operating = Annotated[Identity, Depends(require("ops"))]
Name = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00]*$", description="A channel's id or name")]
DeliveryId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Short = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
StateWord = Literal["due", "held", "delivered", "skipped", "gave_up"]


class ChannelIn(BaseModel):
    """A channel to be made. `values` holds options and secrets as its kind names them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")
    kind: str = Field(min_length=1, max_length=40)
    values: dict[str, str] = Field(default_factory=dict, max_length=20)
    feed: bool | None = Field(None, description="Gets every notice that fits; else it is a way to reach reps")
    kinds: list[str] | None = Field(None, max_length=20, description="Kinds of notices it gets")
    reps: list[str] = Field(default_factory=list, max_length=100, description="Only notices of these; empty: of all")
    segments: list[str] = Field(default_factory=list, max_length=100)
    concurrency: int | None = Field(None, ge=1, le=4)
    per_s: float | None = Field(None, ge=0.01, le=1000, strict=False)


class ChangeIn(BaseModel):
    """What is to be another with a channel. What is left out stays; its kind cannot be changed."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[^\x00]*$")
    values: dict[str, str] = Field(
        default_factory=dict,
        max_length=20,
        description="Options by name; an empty text takes one away. Where the address changes, its secrets as well",
    )
    feed: bool | None = None
    kinds: list[str] | None = Field(None, max_length=20)
    reps: list[str] | None = Field(None, max_length=100)
    segments: list[str] | None = Field(None, max_length=100)
    concurrency: int | None = Field(None, ge=1, le=4)
    per_s: float | None = Field(None, ge=0.01, le=1000, strict=False)


class RotateIn(BaseModel):
    """New secrets by name; those that we make ourselves are made when not given."""

    model_config = ConfigDict(strict=True, extra="forbid")

    values: dict[str, str] = Field(default_factory=dict, max_length=20)


class DisableIn(BaseModel):
    """Off, or on again."""

    model_config = ConfigDict(strict=True, extra="forbid")

    disabled: bool = True


class TestIn(BaseModel):
    """To whom the test goes, where a channel finds people by their address."""

    model_config = ConfigDict(strict=True, extra="forbid")

    email: str | None = Field(None, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")


class ReplayIn(BaseModel):
    """Which given up deliveries go out again: of one channel, or of all."""

    model_config = ConfigDict(strict=True, extra="forbid")

    endpoint: str | None = Field(None, max_length=64, pattern=r"^[^\x00]*$")


def shown(one: Stored) -> dict[str, Any]:
    """A channel as it may be shown: never its secrets."""
    content: dict[str, Any] = msgspec.to_builtins(one, builtin_types=(datetime,))
    del content["version"]
    return content


def channel_router(endpoints: Endpoints, clock: Clock) -> APIRouter:
    """The routes of channels."""
    router = APIRouter(prefix="/v1/channels", tags=["channels"])

    @router.get("")
    async def list_channels(_who: Seeing) -> dict[str, Any]:
        """Channels, newest first, each with how it is doing."""
        return page([shown(one) for one in await endpoints.store.list()], None)

    @router.get("/kinds")
    async def list_kinds(_who: Seeing) -> dict[str, Any]:
        """Which kinds there are, and what each needs to know."""
        items = [
            {
                "kind": kind.name,
                "title": kind.title,
                "feed": kind.feed,
                "values": [
                    {"name": f.name, "text": f.text, "required": f.required, "secret": f.secret} for f in kind.fields
                ],
            }
            for kind in endpoints.kinds.values()
        ]
        return page(items, None)

    @router.post("", status_code=201)
    async def create(_who: Setting, body: ChannelIn) -> dict[str, Any]:
        """Make a channel. Secrets that were made for it are shown this once."""
        made, secrets = await endpoints.add(Draft(**body.model_dump()))
        return {**shown(made), "secrets": secrets}

    @router.get("/{name}")
    async def show(_who: Seeing, name: Name) -> dict[str, Any]:
        """One channel."""
        return shown(await endpoints.find(name))

    @router.patch("/{name}")
    async def change(_who: Setting, name: Name, body: ChangeIn) -> dict[str, Any]:
        """Change a channel, held to the rules of a new one. Another address wants the secrets that go there once more."""
        return shown(await endpoints.change(name, Change(**body.model_dump())))

    @router.delete("/{name}", status_code=204)
    async def delete(_who: Setting, name: Name) -> Response:
        """Forget a channel, and what waits for it."""
        await endpoints.store.delete((await endpoints.find(name)).id)
        return Response(status_code=204)

    @router.post("/{name}/rotate")
    async def rotate(_who: Setting, name: Name, body: RotateIn | None = None) -> dict[str, Any]:
        """New secrets; those before hold until the next rotation where both can. Made ones are shown this once."""
        one, secrets = await endpoints.rotate(name, body.values if body else {})
        return {**shown(one), "secrets": secrets}

    @router.post("/{name}/test")
    async def test(_who: Seeing, name: Name, body: TestIn | None = None) -> dict[str, Any]:
        """Send a message that says it is a test, now."""
        result = await endpoints.test(name, body.email if body else None)
        return {"outcome": result.outcome, "detail": result.detail, "retry_after_s": result.retry_after_s}

    @router.post("/{name}/disable")
    async def disable(_who: Seeing, name: Name, body: DisableIn | None = None) -> dict[str, Any]:
        """Send nothing there (what waits stays); `{"disabled": false}` begins again."""
        one = await endpoints.find(name)
        on = not (body.disabled if body else True)
        await endpoints.store.enable(one.id, on=on, reason="by_hand", now=clock.now())
        return shown(await endpoints.find(one.id))

    return router


def delivery_router(ledger: Ledger, clock: Clock) -> APIRouter:
    """The routes of operations."""
    router = APIRouter(prefix="/v1/ops/deliveries", tags=["ops"])

    @router.get("")
    async def list_deliveries(  # noqa: PLR0917 the filters
        _who: Operating,
        state: StateWord | None = None,
        endpoint: Short = None,
        rep: Short = None,
        notice: Short = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> dict[str, Any]:
        """Deliveries, newest first."""
        wanted = Filter(state=state, endpoint=endpoint, rep=rep, notice=notice)
        rows = await ledger.page(wanted, limit + 1, decode_place(cursor))
        more = rows[limit - 1] if len(rows) > limit else None
        following = encode_place(more["created_at"], more["id"]) if more is not None else None
        return page([dict(row) for row in rows[:limit]], following)

    @router.post("/replay")
    async def replay_many(_who: Operating, body: ReplayIn | None = None) -> dict[str, Any]:
        """Send what was given up once more, at most a thousand a call; ask again until `replayed` is 0."""
        return {"replayed": await ledger.replay(clock.now(), endpoint=body.endpoint if body else None)}

    @router.get("/{delivery_id}")
    async def show(_who: Operating, delivery_id: DeliveryId) -> dict[str, Any]:
        """One delivery."""
        found = await ledger.one(delivery_id)
        if found is None:
            msg = f"there is no delivery {delivery_id}"
            raise Refused(msg, code="not_found")
        return dict(found)

    @router.post("/{delivery_id}/replay")
    async def replay(_who: Operating, delivery_id: DeliveryId) -> dict[str, Any]:
        """Send one delivery again, whatever became of it; the far side sees the same id."""
        if not await ledger.replay(clock.now(), delivery_id=delivery_id):
            raise _none(delivery_id)
        return {"replayed": 1}

    return router


def _none(delivery_id: str) -> Refused:
    msg = f"there is no delivery {delivery_id} that has ended"
    return Refused(msg, code="not_found")
