"""`POST /v1/policy/try`: what would happen to one lead, or because of one event, under a policy? Nothing is kept."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from services.console.rooms import ConsoleRooms
from services.console.trial import EVENT_BYTES, Asked, Trials
from services.policy.core.document import MAX_BYTES
from services.policy.core.problems import PolicyError
from services.runtime.access import Identity, require
from services.runtime.http import ApiError

PROBLEMS_SHOWN = 50


class TryBody(BaseModel):
    """A lead, an event, or both; and against which policy: a draft, a saved version, or the one in force."""

    model_config = ConfigDict(strict=True, extra="forbid")

    email: str = Field("", max_length=320, pattern=r"^[^\x00]*$")
    event: dict[str, Any] | list[dict[str, Any]] | None = Field(
        None, description="As Segment sends it, or a CloudEvent"
    )
    text: str | None = Field(None, max_length=MAX_BYTES, description="The draft")
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="A saved version, if no draft is given")
    fresh: bool = Field(default=False, description="As if nobody had had the lead yet")


def trial_router(rooms: ConsoleRooms) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/v1/policy", tags=["policy"])
    trials = Trials(rooms)

    @router.post("/try")
    async def try_it(_who: Annotated[Identity, Depends(require("marketing", "ops"))], body: TryBody) -> dict[str, Any]:
        """What would happen: stage, segment, route, reasons, what is missing, and what differs from the policy in force."""
        text = body.text
        if text is None and body.version is not None:
            text = (await rooms.policy_store.get(body.version)).text
        event = "" if body.event is None else msgspec.json.encode(body.event).decode()
        if len(event) > EVENT_BYTES:
            raise ApiError(413, "too_large", f"the event is larger than {EVENT_BYTES // 1024} KB")
        try:
            answer = await trials.run(Asked(email=body.email, event=event, text=text, fresh=body.fresh))
        except PolicyError as error:
            problems = [msgspec.to_builtins(one) for one in error.problems[:PROBLEMS_SHOWN]]
            raise ApiError(422, "invalid_policy", f"the draft is no policy: {error.problems[0]}", problems) from error
        plain: dict[str, Any] = msgspec.to_builtins(answer)
        return plain

    return router
