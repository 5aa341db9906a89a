"""What the API answers, without HTTP: also the source of `lead-router explain`."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.messages import LeadScored
from services.directory.core.match import DirectoryView
from services.policy.core.policy import Policy
from services.policy.core.score import engagement
from services.router.core.cadence import Running, coming
from services.router.store.funnel import funnel
from services.router.store.meters import between_stages, standing
from services.router.store.reads import Filters, Reads, record_of
from services.runtime.access import Identity
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import BadMessage, Refused
from services.runtime.http import encode_cursor, encode_place

FUNNEL_DAYS: Final = 30


class Leads:
    """Leads and decisions as a caller may see them.

    Args:
        view: The directory as it is now.
        active: The policy in force.
    """

    def __init__(
        self, db: Database, view: Callable[[], DirectoryView], active: Callable[[], Policy], clock: Clock
    ) -> None:
        self._db = db
        self._reads = Reads(db)
        self._view = view
        self._active = active
        self._clock = clock

    def pools_of(self, rep: str | None) -> tuple[str, ...]:
        """The pools that a rep sits in."""
        return tuple(sorted(pool.name for pool in self._view().pools.values() if rep in pool.weights)) if rep else ()

    def team_of(self, rep: str | None) -> tuple[str, ...]:
        """Whom a rep manages, also through others: who is told when they do not answer must see what it is about."""
        reps, team, above = self._view().reps.values(), set[str](), {rep} if rep else set[str]()
        while above:
            above = {one.id for one in reps if one.manager in above} - team - {rep}
            team |= above
        return tuple(sorted(team))

    def sees(self, who: Identity, assignee: str | None, pool: str | None) -> bool:
        """Whether the caller may see a lead: reps their own, those of their pools and their people's; others all."""
        if who.role != "rep":
            return True
        return who.rep is not None and (
            assignee == who.rep or pool in self.pools_of(who.rep) or assignee in self.team_of(who.rep)
        )

    async def page(
        self, who: Identity, filters: Filters, limit: int, after: tuple[datetime, str] | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of leads and the next cursor."""
        if who.role == "rep":
            reps = (who.rep or "", *self.team_of(who.rep))
            filters = msgspec.structs.replace(filters, only_reps=reps, only_pools=self.pools_of(who.rep))
        rows = await self._reads.leads(filters, limit + 1, after)
        more, rows = len(rows) > limit, rows[:limit]
        held = await self._reads.open_assignments([row["id"] for row in rows])
        items = [self._shown(row, held.get(row["id"])) for row in rows]
        return items, encode_place(rows[-1]["created_at"], rows[-1]["id"].hex) if more else None

    async def one(self, who: Identity, lead_id: str) -> dict[str, Any]:
        """One lead.

        Raises:
            Refused: `not_found`.
        """
        row = await self._row(who, lead_id)
        return self._shown(row, (await self._reads.open_assignments([row["id"]])).get(row["id"]))

    async def decisions(
        self, who: Identity, lead_id: str, limit: int, before: int | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of a lead's decisions and the next cursor."""
        row = await self._row(who, lead_id)
        rows = await self._reads.decisions(row["id"], limit + 1, before)
        more, rows = len(rows) > limit, rows[:limit]
        return [decision_shown(one) for one in rows], encode_cursor(rows[-1]["n"]) if more else None

    async def decision(self, who: Identity, decision_id: str) -> dict[str, Any]:
        """One decision with everything that went into it."""
        row = await self._reads.decision(decision_id)
        if row is None:
            raise _no_such("decision")
        await self._row(who, row["lead_id"].hex)
        return {**decision_shown(row), "inputs": row["record"]}

    async def path(self, email: str) -> dict[str, Any] | None:
        """Event to answer for one person, as plain data; None when no lead has this address."""
        rows = await self._reads.leads(Filters(email=email), 1, None)
        if not rows:
            return None
        row = rows[0]
        held = (await self._reads.open_assignments([row["id"]])).get(row["id"])
        return {
            "lead": self._shown(row, held),
            "decisions": [decision_shown(one) for one in await self._reads.decisions(row["id"], 20)],
            "assignments": [_assignment_shown(one) for one in await self._reads.assignments(row["id"])],
        }

    async def funnel(self, since: datetime | None, until: datetime | None, segment: str | None) -> dict[str, Any]:
        """The funnel of a period, by default the last 30 days, beside the goals."""
        until = until or self._clock.now()
        since = since or until - timedelta(days=FUNNEL_DAYS)
        if since >= until:
            msg = "`from` is not before `to`"
            raise BadMessage(msg, code="invalid")
        found = await funnel(self._db, since, until, segment)
        took = await between_stages(self._db, since, until, segment)
        policy = self._active()
        for line in (*found["segments"], found["total"]):
            name = line["segment"]
            goal, rule = policy.goal(name), policy.segment(name)
            line["goal"] = None if goal is None else {name: getattr(goal, name) for name in goal.__slots__}
            line["between_stages"] = took.get(name, {})
            line["h2h_minutes"] = line["accepted"] * rule.h2h.minutes_per_handover if rule is not None else 0
        found["total"]["h2h_minutes"] = sum(line["h2h_minutes"] for line in found["segments"])
        for line in (*found["segments"], found["total"]):
            line["h2h_minutes_per_won"] = round(line["h2h_minutes"] / line["won"], 1) if line["won"] else None
        return found

    async def standing(self) -> list[dict[str, Any]]:
        """Where the leads stand now: counts by segment, stage and route."""
        return await standing(self._db)

    async def _row(self, who: Identity, lead_id: str) -> dict[str, Any]:
        row = await self._reads.lead(lead_id)
        if row is None or not self.sees(who, row["assignee"], row["pool"]):
            raise _no_such("lead")
        return row

    def _shown(self, row: dict[str, Any], held: dict[str, Any] | None) -> dict[str, Any]:
        snapshot = msgspec.convert(row["snapshot"], LeadScored) if row["snapshot"] is not None else None
        account = snapshot.account if snapshot is not None else None
        known = self._view().account(account.domain) if account is not None else None
        fit = snapshot.fit if snapshot is not None else None
        score = engagement(snapshot.curve, snapshot.as_of, self._clock.now()) if snapshot is not None else None
        return {
            "id": row["id"].hex,
            "email": row["email"],
            "name": row["name"],
            "title": row["title"],
            "known": row["known"],
            "account": None
            if account is None
            else {
                "domain": account.domain,
                "name": account.name,
                "named": account.named,
                "industry": account.industry,
                "employees": account.employees,
                "country": account.country,
                "owner": known.owner if known is not None else account.owner,
                "matched_by": account.matched_by,
            },
            "segment": row["segment"],
            "stage": row["stage"],
            "route": row["route"],
            "track": row["track"],
            "pool": row["pool"],
            "assignee": row["assignee"],
            "assignment": None
            if held is None
            else {"id": held["id"].hex, "gen": held["gen"], "state": held["state"], "rep": held["rep_id"]},
            "fit": None if fit is None else msgspec.to_builtins(fit) | {"reasons": msgspec.to_builtins(fit.reasons)},
            "engagement": {
                "score": round(score.score, 1) if score is not None else 0.0,
                "parts": [{"signal": p.signal, "points": round(p.points, 1)} for p in score.parts] if score else [],
            },
            "outcome": row["outcome"],
            "cooldown_until": _iso(row["cooldown_until"]),
            "cooldown_reason": row["cooldown_reason"],
            "waiting_until": _iso(row["waiting_until"]),
            "waiting_reason": row["waiting_reason"],
            "cadence": self._cadence(row, held),
            "recent": row["memory"].get("recent", []),
            "version": row["version"],
            "created_at": _iso(row["created_at"]),
            "updated_at": _iso(row["updated_at"]),
        }

    def _cadence(self, row: dict[str, Any], held: dict[str, Any] | None) -> dict[str, Any] | None:
        """The cadence of the open assignment: where it stands, what is next, what has ended it."""
        if held is None or row["memory"].get("cadence") is None:
            return None
        running = msgspec.convert(row["memory"]["cadence"], Running)
        cadence = self._active().cadence(running.name)
        if cadence is None or running.gen != held["gen"]:
            return None
        step = coming(running, cadence)
        at = running.due_at
        if at is not None and held["snoozed_until"] is not None:
            at = max(at, held["snoozed_until"])
        return {
            "name": cadence.name,
            "step": running.step,
            "steps": len(cadence.steps),
            "next": {"day": step.day, "do": step.do, "at": _iso(at)} if step is not None else None,
            "ended": running.ended,
        }


def decision_shown(row: dict[str, Any]) -> dict[str, Any]:
    """A decision as the API shows it."""
    record = record_of(row)
    verdict, pick = record.verdict, record.pick
    return {
        "id": record.id,
        "n": record.n,
        "at": _iso(record.now),
        "lead_id": record.lead_id,
        "trigger": record.trigger,
        "route": verdict.route,
        "segment": verdict.segment,
        "stage": verdict.stage,
        "assignee": verdict.assignee,
        "pool": verdict.pool,
        "track": verdict.track,
        "reasons": msgspec.to_builtins(verdict.reasons),
        "counterfactual": msgspec.to_builtins(verdict.counterfactual),
        "candidates": msgspec.to_builtins(pick.candidates) if pick is not None else [],
        "policy_version": record.policy_version,
        "causes": list(row["causes"]),
        "timing": {name: _iso(row[name]) for name in ("occurred_at", "received_at", "scored_at", "routed_at")},
    }


def _assignment_shown(row: dict[str, Any]) -> dict[str, Any]:
    times = ("offered_at", "accepted_at", "snoozed_until", "ended_at")
    return {
        "id": row["id"].hex,
        "gen": row["gen"],
        "rep": row["rep_id"],
        "via": row["via"],
        "pool": row["pool"],
        "state": row["state"],
        "reason": row["reason"],
        **{name: _iso(row[name]) for name in times},
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None


def _no_such(what: str) -> Refused:
    return Refused(f"there is no such {what}, or it is not yours to see", code="not_found")
