"""The policy: `/policy` to write, check, save and put in force, `/policy/versions` for the history and what differs."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form, reads_pages
from services.console.rooms import ConsoleRooms
from services.console.views.policy import Line, line_diff, versions
from services.policy.core.diff import diff_policies
from services.policy.core.document import MAX_BYTES
from services.policy.core.lint import Known, lint_policy
from services.policy.core.problems import PolicyError
from services.policy.store import Stored
from services.runtime.errors import BadMessage, Conflict, LeadRouterError

NOTE_MAX: Final = 500
HISTORY: Final = 30
# A form writes a line's end in six characters, other characters in up to nine.
BODY_MAX: Final = 3 * MAX_BYTES + 8192


class PolicyPages:
    """The editor and the versions."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._store = rooms.policy_store
        self._cache = rooms.policies
        self._directory = rooms.directory

    def routes(self) -> Sequence[BaseRoute]:
        """Pages and forms."""
        page = self._frame.page
        return (
            page("/policy", self.editor, "marketing"),
            page("/policy", self.submit, "marketing", method="POST"),
            page("/policy/lines", self.lines, "marketing", method="POST"),
            page("/policy/versions", self.history, "marketing"),
            page("/policy/versions", self.switch, "marketing", method="POST"),
        )

    async def editor(self, request: Request) -> Response:
        """The text of the version in force, or of `?version=`."""
        active = await self._store.active()
        wanted = _number(request.query_params.get("version"))
        shown = await self._store.get(wanted) if wanted is not None else active
        said = {"saved": "Saved. It is not in force yet.", "active": "In force now, in every process."}
        return await self._draw(
            request,
            shown.text if shown else "",
            active,
            version=shown,
            said=said.get(request.query_params.get("done", "")),
        )

    async def submit(self, request: Request) -> Response:
        """Check, save, or put in force what was written."""
        sent = await form(request, BODY_MAX)
        text = sent.get("text", "").replace("\r\n", "\n")
        note, task = sent.get("note", "").strip()[:NOTE_MAX], sent.get("do", "check")
        over = _number(sent.get("over"))
        active = await self._store.active()
        who = await self._frame.signed_in(request)
        try:
            if task == "save":
                saved = await self._store.save(text, who.name or who.role, note)
                return RedirectResponse(f"/policy?version={saved.version}&done=saved", 303)
            if task == "activate":
                await self._store.put(text, who.name or who.role, note, over)
                await self._cache.refresh()
                return RedirectResponse("/policy?done=active", 303)
        except PolicyError as error:
            return await self._draw(request, text, active, note=note, status=422, problems=error.problems)
        except Conflict as error:
            active = await self._store.active()
            return await self._draw(request, text, active, note=note, status=409, conflict=error.message)
        return await self._draw(request, text, active, note=note, checked=True)

    async def lines(self, request: Request) -> Response:
        """What differs from the version in force, line by line: a part of the page, for its module."""
        text = (await form(request, BODY_MAX)).get("text", "").replace("\r\n", "\n")
        active = await self._store.active()
        return self._frame.draw("_policy_lines.html", lines=await _lines(active.text, text) if active else [])

    async def history(self, request: Request) -> Response:
        """Every version; two of them side by side with `?from=` and `?to=`."""
        return await self._versions(request)

    async def switch(self, request: Request) -> Response:
        """Put a saved version in force, or the one before."""
        sent = await form(request, 4096)
        who = await self._frame.signed_in(request)
        name, over, version = who.name or who.role, _number(sent.get("over")), _number(sent.get("version"))
        try:
            if sent.get("do") == "rollback" and version is None:
                active = await self._store.active()
                if active is not None and over not in (None, active.version):
                    by = active.activated_by or active.saved_by
                    msg = f"version {active.version} was put in force by {by} meanwhile"
                    raise Conflict(msg)
                await self._store.rollback(name)
            elif version is not None:
                await self._store.activate(version, name, over)
            else:
                msg = "say which version"
                raise BadMessage(msg, code="invalid")
        except LeadRouterError as error:
            if not reads_pages(request):
                raise
            return await self._versions(request, problem=error.message)
        await self._cache.refresh()
        return RedirectResponse("/policy/versions?done=active", 303)

    async def _versions(self, request: Request, problem: str | None = None) -> Response:
        identity = await self._frame.signed_in(request)
        found = await self._store.history(HISTORY)
        asked = request.query_params
        active = next((one for one in found if one.active), None) or await self._store.active()
        to = _number(asked.get("to")) or (active.version if active else None)
        after = await self._store.get(to) if to is not None else None
        before = await self._before(_number(asked.get("from")), after)
        return self._frame.draw(
            "policy_versions.html",
            409 if problem else 200,
            identity=identity,
            here="/policy",
            versions=versions(found, self._frame.clock.now()),
            active=active,
            before=before,
            after=after,
            changes=await _changes(before.text, after.text) if before and after else [],
            lines=await _lines(before.text, after.text) if before and after else [],
            problem=problem,
            done=asked.get("done") == "active",
        )

    async def _before(self, asked: int | None, after: Stored | None) -> Stored | None:
        if asked is not None:
            return await self._store.get(asked)
        if after is None:
            return None
        earlier = await self._store.history(1, after.version)
        return earlier[0] if earlier else None

    async def _draw(
        self,
        request: Request,
        text: str,
        active: Stored | None,
        *,
        status: int = 200,
        problems: Sequence[Any] | None = None,
        **more: Any,
    ) -> Response:
        warnings: Sequence[Any] = ()
        if problems is None:
            try:
                warnings = await asyncio.to_thread(lint_policy, text, self._known()) if text else ()
            except PolicyError as error:
                problems = error.problems
        values = {"version": None, "note": "", "said": None, "conflict": None, "checked": False, **more}
        return self._frame.draw(
            "policy.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/policy",
            text=text,
            active=active,
            problems=problems or (),
            warnings=warnings,
            changes=await _changes(active.text, text) if active and not problems else [],
            lines=await _lines(active.text, text) if active else [],
            **values,
        )

    def _known(self) -> Known:
        view = self._directory.view
        return Known(pools=frozenset(view.pools), industries=frozenset(a.industry for a in view.accounts if a.industry))


async def _lines(before: str, after: str) -> list[Line]:
    """What differs line by line. Thousands of equal lines take seconds: not on the loop."""
    return await asyncio.to_thread(line_diff, before, after)


async def _changes(before: str, after: str) -> list[str]:
    """What changes in meaning; nothing when this release does not read one of the texts."""
    try:
        return [change.text for change in await asyncio.to_thread(diff_policies, before, after)]
    except PolicyError:
        return []


def _number(text: str | None) -> int | None:
    """A version's number; None for none. Raises `BadMessage` for anything else."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        msg = "a version is a number"
        raise BadMessage(msg, code="invalid")
    return int(text)
