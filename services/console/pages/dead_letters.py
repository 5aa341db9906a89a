"""`/ops/dead-letters`: what could not be handled: filter, look at the bytes, put back one or all of a filter."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from schemas.topics import STAGES
from services.console.frame import Frame, form
from services.console.rooms import ConsoleRooms
from services.console.views.letters import readable, row
from services.eventlog import deadletter
from services.runtime.errors import BadMessage, LeadRouterError, Refused
from services.runtime.http import status_of

SHOWN: Final = 50
# Without JavaScript one press of the button puts so many back; the page then offers to go on.
AT_ONCE: Final = 200
FILTERS: Final = ("stage", "reason", "topic", "state")
STATES: Final = ("waiting", "replayed", "all")
TEXT_MAX: Final = 250


class DeadLetterPages:
    """Dead letters."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._db = rooms.db
        self._log = rooms.log

    def routes(self) -> Sequence[BaseRoute]:
        """The list, one letter, and putting back."""
        page = self._frame.page
        return (
            page("/ops/dead-letters", self.list, "ops"),
            page("/ops/dead-letters/replay", self.replay_many, "ops", method="POST"),
            page("/ops/dead-letters/{letter_id:int}", self.show, "ops"),
            page("/ops/dead-letters/{letter_id:int}/replay", self.replay, "ops", method="POST"),
        )

    async def list(self, request: Request) -> Response:
        """The letters of a filter, newest first."""
        return await self._list(request, request.query_params)

    async def _list(
        self, request: Request, asked: Mapping[str, str], status: int = 200, problem: str | None = None
    ) -> Response:
        chosen = _chosen(asked)
        before = _number(asked.get("before"))
        replayed = {"waiting": False, "replayed": True}.get(chosen["state"])
        found = await deadletter.list_letters(
            self._db,
            **_wanted(chosen),
            replayed=replayed,
            before=before,
            limit=SHOWN + 1,
        )
        counts = sorted(await deadletter.counts(self._db), key=lambda one: (-one["count"], one["stage"], one["reason"]))
        waiting = await deadletter.waiting(self._db, **_wanted(chosen))
        return self._frame.draw(
            "dead_letters.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/ops/dead-letters",
            letters=[row(letter) for letter in found[:SHOWN]],
            older=_address({**chosen, "before": str(found[SHOWN - 1].id)}) if len(found) > SHOWN else None,
            newer=_address(chosen) if before else None,
            chosen=chosen,
            stages=STAGES,
            states=STATES,
            reasons=sorted({one["reason"] for one in counts} | ({chosen["reason"]} if chosen["reason"] else set())),
            topics=await deadletter.topics(self._db),
            counts=counts,
            waiting=waiting,
            done=_number(asked.get("done")),
            step={name: asked.get(name, "") for name in ("after", "newest", "left")},
            problem=problem,
        )

    async def show(self, request: Request) -> Response:
        """One letter with its bytes."""
        return await self._show(request)

    async def _show(self, request: Request, status: int = 200, problem: str | None = None) -> Response:
        letter_id = _id(request)
        letter = await deadletter.show_letter(self._db, letter_id)
        if letter is None:
            msg = f"there is no dead letter {letter_id}"
            raise Refused(msg, code="not_found")
        return self._frame.draw(
            "dead_letter.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/ops/dead-letters",
            letter=row(letter),
            key=readable(letter.key),
            value=readable(letter.value),
            problem=problem,
        )

    async def replay(self, request: Request) -> Response:
        """Put one back."""
        who = await self._frame.signed_in(request)
        letter_id = _id(request)
        again = (await form(request, 1024)).get("again") == "yes"
        try:
            await deadletter.replay(self._db, self._log.writer(), letter_id, who.name or who.role, again=again)
        except LeadRouterError as error:
            return await self._show(request, 409, error.message)
        return RedirectResponse(f"/ops/dead-letters/{letter_id}", 303)

    async def replay_many(self, request: Request) -> Response:
        """Put the next ones of a filter back, and say how many are left."""
        who = await self._frame.signed_in(request)
        sent = await form(request, 4096)
        chosen = _chosen(sent)
        try:
            step = await deadletter.replay_some(
                self._db,
                self._log.writer(),
                who.name or who.role,
                **_wanted(chosen),
                after=_number(sent.get("after")) or 0,
                newest=_number(sent.get("newest")),
                at_most=AT_ONCE,
            )
        except LeadRouterError as error:
            return await self._list(request, chosen, status_of(error), error.message)
        done = (_number(sent.get("done")) or 0) + step.replayed
        more = {"done": str(done), "left": str(step.left)}
        if step.left:
            more |= {"after": str(step.after), "newest": str(step.newest)}
        return RedirectResponse(_address({**chosen, **more}), 303)


def _chosen(asked: Mapping[str, str]) -> dict[str, str]:
    """The filter, as far as it makes sense."""
    chosen = {name: asked.get(name, "")[:TEXT_MAX] for name in FILTERS}
    if chosen["stage"] not in STAGES:
        chosen["stage"] = ""
    if chosen["state"] not in STATES:
        chosen["state"] = "waiting"
    return chosen


def _wanted(chosen: Mapping[str, str]) -> dict[str, str | None]:
    return {name: chosen[name] or None for name in ("stage", "reason", "topic")}


def _id(request: Request) -> int:
    found: int = request.path_params["letter_id"]
    if found >= 2**63:
        msg = f"there is no dead letter {found}"
        raise Refused(msg, code="not_found")
    return found


def _address(values: Mapping[str, Any]) -> str:
    return f"/ops/dead-letters?{urlencode({name: value for name, value in values.items() if value})}"


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        msg = "a number is needed here"
        raise BadMessage(msg, code="invalid")
    return int(text)
