"""The routes of the router."""

from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from services.router.api.leads import Leads
from services.router.commands.answers import Answers
from services.router.core.claim import Asked, Command
from services.router.store.leads import Lead
from services.router.store.reads import Filters
from services.runtime.access import Identity, require
from services.runtime.http import Cursor, Limit, decode_cursor, decode_place, page

Anybody = Annotated[Identity, Depends(require("marketing", "ops", "rep"))]
Answering = Annotated[Identity, Depends(require("rep"))]
Key = Annotated[str, Path(pattern=r"^[0-9a-fA-F]{32}$", description="32 hex characters")]
Short = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
StageWord = Literal["unknown", "identified", "qualified", "ready_to_buy", "customer", "disqualified"]
RouteWord = Literal["nurture", "sdr", "owner"]
DAY: Final = "2026-01-31"  # how a day is written


def _from_day(given: object) -> object:
    """A time; of a bare day its beginning in UTC."""
    if isinstance(given, str) and len(given) == len(DAY):
        try:
            return datetime.combine(date.fromisoformat(given), datetime.min.time(), UTC)
        except ValueError:
            pass  # what is wrong with it is said where times are read
    return given


def _to_day(given: object) -> object:
    """A time; of a bare day its end, since who asks for a period to a day means that day too."""
    at = _from_day(given)
    return at + timedelta(days=1) if isinstance(at, datetime) and at.year < MAXYEAR else at


Since = Annotated[AwareDatetime | None, BeforeValidator(_from_day), Query(alias="from")]
Until = Annotated[AwareDatetime | None, BeforeValidator(_to_day), Query(alias="to")]


class AnswerBody(BaseModel):
    """A rep's answer. `reason` is needed to decline, `until` to snooze."""

    model_config = ConfigDict(strict=True, extra="forbid")

    assignment_id: str = Field(pattern=r"^[0-9a-fA-F]{32}$")
    gen: int = Field(ge=1, le=2**31 - 1)
    reason: str | None = Field(default=None, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    until: AwareDatetime | None = Field(default=None, strict=False)


def router_router(leads: Leads, answers: Answers) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["leads"])

    @router.get("/leads")
    async def list_leads(  # noqa: PLR0917 the filters of the contract
        who: Anybody,
        email: Short = None,
        q: Short = None,
        stage: StageWord | None = None,
        segment: Short = None,
        assignee: Short = None,
        route: RouteWord | None = None,
        domain: Short = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> dict[str, Any]:
        """Leads, newest first. A rep sees their own, those of their pools, and those of the people whom they manage."""
        filters = Filters(email=email, q=q, stage=stage, segment=segment, assignee=assignee, route=route, domain=domain)
        items, more = await leads.page(who, filters, limit, decode_place(cursor, UUID))
        return page(items, more)

    @router.get("/leads/{lead_id}")
    async def get_lead(who: Anybody, lead_id: Key) -> dict[str, Any]:
        """One lead, with engagement as of now."""
        return await leads.one(who, lead_id.lower())

    @router.get("/leads/{lead_id}/decisions")
    async def list_decisions(who: Anybody, lead_id: Key, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """Why the lead went where it went, newest first."""
        after = decode_cursor(cursor, int)
        items, more = await leads.decisions(who, lead_id.lower(), limit, after[0] if after is not None else None)
        return page(items, more)

    @router.get("/decisions/{decision_id}")
    async def get_decision(who: Anybody, decision_id: Key) -> dict[str, Any]:
        """One decision with its full inputs."""
        return await leads.decision(who, decision_id.lower())

    @router.get("/funnel")
    async def get_funnel(_: Anybody, segment: Short = None, since: Since = None, until: Until = None) -> dict[str, Any]:
        """Counts, conversion and handovers per segment; by default of the last 30 days.

        `from` and `to` are times with their zone, or days (UTC), the last one included.
        """
        return await leads.funnel(since, until, segment)

    _answer_routes(router, leads, answers)
    return router


def _answer_routes(router: APIRouter, leads: Leads, answers: Answers) -> None:
    def add(command: Command) -> None:
        async def give(who: Answering, lead_id: Key, body: AnswerBody) -> dict[str, Any]:
            asked = Asked(
                command=command,
                assignment_id=body.assignment_id.lower(),
                gen=body.gen,
                rep=who.rep if who.role == "rep" else None,
                reason=body.reason,
                until=body.until,
            )

            def may_see(lead: Lead) -> bool:
                return leads.sees(who, lead.assignee, lead.pool)

            answered = await answers.give(lead_id.lower(), asked, may_see)
            shown: dict[str, Any] = msgspec.to_builtins(answered)
            return shown

        give.__doc__ = (
            f"A rep's answer: {command}. 409 when somebody else has the lead, or the offer is no longer open."
        )
        router.add_api_route(f"/leads/{{lead_id}}/{command}", give, methods=["POST"], name=f"{command}_lead")

    for command in ("accept", "decline", "snooze", "won", "lost"):
        add(command)
