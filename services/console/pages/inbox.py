"""The inbox: the page, what keeps it live, and the rep's answers as forms."""

from collections.abc import Sequence
from typing import Any, Final, get_args
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.answering import SAID, Answering
from services.console.filters import clock
from services.console.frame import Frame, form
from services.console.rooms import ConsoleRooms
from services.console.views.inbox import (
    DECLINES,
    SECTIONS,
    SNOOZES,
    Card,
    by_section,
    cards,
    taken,
)
from services.console.views.reminders import each_once, reminds
from services.notify.api.desk import Listed, Used
from services.runtime.access import Identity
from services.runtime.errors import BadMessage, Refused

SHOWN: Final = 50
SHOWN_MAX: Final = 1000
PAST_SHOWN: Final = 20
NEWS_MAX: Final = 100


class InboxPages:
    """A rep's inbox. An admin looks at a rep's with `?rep=`."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._rooms = rooms
        self._desk = rooms.notify.desk
        self._answering = Answering(rooms)

    def routes(self) -> Sequence[BaseRoute]:
        """The page, its parts, its forms."""
        page, part = self._frame.page, self._frame.fragment
        return (
            page("/inbox", self.inbox, "rep"),
            part("/inbox/list", self.inbox_list, "rep"),
            part("/inbox/news", self.news, "rep"),
            page("/inbox/seen", self.seen_all, "rep", method="POST"),
            page("/inbox/{notice_id}/answer", self.answer, "rep", method="POST"),
            page("/inbox/{notice_id}/say", self.say, "rep", method="POST"),
        )

    async def inbox(self, request: Request) -> Response:
        """The live inbox."""
        identity = await self._frame.signed_in(request)
        if identity.role == "admin" and not request.query_params.get("rep"):
            reps = sorted((rep for rep in self._rooms.directory.view.reps.values() if rep.active), key=lambda r: r.name)
            return self._frame.draw("inbox_chooser.html", identity=identity, reps=reps, where="/inbox")
        rep = rep_of(identity, request)
        found = await self._list(identity, rep, _number(request, "show", SHOWN, SHOWN_MAX))
        return self._frame.draw("inbox.html", identity=identity, said=await self._said(request, rep), **found)

    async def inbox_list(self, request: Request) -> Response:
        """All parts of the inbox, for the module when it has missed too much."""
        identity = await self._frame.signed_in(request)
        rep = rep_of(identity, request)
        found = await self._list(identity, rep, _number(request, "show", SHOWN, SHOWN_MAX))
        return self._frame.draw("_inbox_list.html", identity=identity, said=None, **found)

    async def news(self, request: Request) -> Response:
        """Cards that have changed behind `?after=`, open or not: what a page needs to catch up."""
        identity = await self._frame.signed_in(request)
        rep = rep_of(identity, request)
        after = _number(request, "after", 0, 2**62)
        listed = await self._desk.since(rep, after, NEWS_MAX)
        opened, count, _ = await self._desk.open(rep, SHOWN)
        return self._frame.draw(
            "_inbox_news.html",
            identity=identity,
            cards=await self._cards(listed, rep, opened),
            open=count,
            after=max((one.notice.seq for one in listed), default=after),
            more=len(listed) >= NEWS_MAX,
            **_words(identity, rep),
        )

    async def answer(self, request: Request) -> Response:
        """Accept, decline with a reason, snooze, seen."""
        identity = await self._frame.signed_in(request)
        rep = rep_of(identity, request)
        notice_id = request.path_params["notice_id"]
        fields = await form(request, 4096)
        listed = await self._desk.one(rep, notice_id)
        if listed is None:
            raise Refused("there is no such notice in this inbox", code="not_found")
        # What the reminder of an offer shows beside its own words ends with the answer: it is read before.
        beside = (await self._desk.open(rep, SHOWN))[0] if reminds(listed.notice) else []
        if fields.get("answer") == "seen":
            await self._rooms.notify.inbox.read(rep, notice_id)
            code, words = "seen", SAID["seen"]
        else:
            code, words = await self._answering.give(identity, rep, listed.notice.lead.id, fields)
        if request.headers.get("x-fragment"):
            again = await self._desk.one(rep, notice_id)
            found = await self._cards([again] if again else [], rep, beside)
            return self._frame.draw(
                "_inbox_answer.html", identity=identity, code=code, words=words, cards=found, **_words(identity, rep)
            )
        return self._back(identity, rep, code, notice_id)

    async def say(self, request: Request) -> Response:
        """Keep the rep's own words; or count that the message was copied or mailed."""
        identity = await self._frame.signed_in(request)
        rep = rep_of(identity, request)
        notice_id = request.path_params["notice_id"]
        fields = await form(request)
        how = fields.get("how", "edited")
        if how not in get_args(Used):
            raise BadMessage("say how the message was used: copied, mailed or edited", code="invalid")
        if how == "edited":
            kept = await self._desk.edited(rep, notice_id, fields.get("subject", ""), fields.get("body", ""))
            known = kept is not None
        else:
            known = await self._desk.used(rep, notice_id, how)  # type: ignore[arg-type]  # checked above
        if not known:
            raise Refused("there is no such notice in this inbox", code="not_found")
        if request.headers.get("x-fragment"):
            return Response(status_code=204)
        return self._back(identity, rep, "kept", notice_id)

    async def seen_all(self, request: Request) -> Response:
        """Everything missed is read."""
        identity = await self._frame.signed_in(request)
        rep = rep_of(identity, request)
        await self._desk.missed_seen(rep)
        return self._back(identity, rep, "seen", "")

    # -- parts

    async def _list(self, identity: Identity, rep: str, show: int) -> dict[str, Any]:
        listed, count, seq = await self._desk.open(rep, show)
        past = await self._desk.past(rep, PAST_SHOWN)
        # What ends between the two looks is in both: the later one counts.
        newest = {one.notice.id: one for one in sorted([*listed, *past], key=lambda one: one.notice.seq)}
        both = [one for one in (*listed, *past) if newest[one.notice.id] is one]
        parts = by_section(await self._cards(both, rep))
        return {
            "parts": parts,
            "open": count,
            "after": seq,
            "sections": SECTIONS,
            "show": show,
            "more": min(show + 2 * SHOWN, SHOWN_MAX) if count > len(each_once(listed)) and show < SHOWN_MAX else None,
            **_words(identity, rep),
        }

    async def _cards(self, listed: Sequence[Listed], rep: str, beside: Sequence[Listed] = ()) -> list[Card]:
        ids = {one.notice.assignment.id for one in listed if one.open and one.notice.assignment is not None}
        offers = await self._rooms.router.desk.offers(ids) if ids else {}
        now, names, zone = self._frame.clock.now(), self._answering.names(), self._answering.zone(rep)
        return cards(listed, now, offers, names, zone, beside=beside)

    async def _said(self, request: Request, rep: str) -> tuple[str, str] | None:
        """What the page says after a form: (code, words)."""
        code = request.query_params.get("said", "")
        if code in SAID:
            return code, SAID[code]
        if code not in ("taken", "snoozed"):
            return None
        listed = await self._desk.one(rep, request.query_params.get("of", "")[:64])
        if listed is None or listed.notice.assignment is None:
            return None
        if code == "taken":
            holder = await self._rooms.router.desk.holder(listed.notice.lead.id)
            return code, taken(holder, listed.notice.by, self._answering.names(), self._frame.clock.now())
        offers = await self._rooms.router.desk.offers([listed.notice.assignment.id])
        offer = next(iter(offers.values()), None)
        if offer is None or offer.snoozed_until is None:
            return None
        return code, f"Snoozed until {clock(offer.snoozed_until, self._answering.zone(rep))}."

    def _back(self, identity: Identity, rep: str, code: str, notice_id: str) -> Response:
        query = {"said": code, **({"of": notice_id} if notice_id else {})}
        if identity.role == "admin":
            query["rep"] = rep
        return RedirectResponse(f"/inbox?{urlencode(query)}", 303)


def rep_of(identity: Identity, request: Request) -> str:
    """Whose inbox: the rep's own, or the one that an admin names. Raises `Refused`."""
    if identity.role == "rep" and identity.rep:
        return identity.rep
    if identity.role != "admin":
        msg = f"the inbox is for reps; this token has the role {identity.role}"
        raise Refused(msg, code="forbidden")
    rep = request.query_params.get("rep", "")[:200]
    if not rep or "\x00" in rep:
        msg = "say whose inbox: /inbox?rep=<rep id>"
        raise Refused(msg, code="not_found")
    return rep


def _words(identity: Identity, rep: str) -> dict[str, Any]:
    return {
        "rep": rep,
        "query": "?" + urlencode({"rep": rep}) if identity.role == "admin" else "",
        "declines": DECLINES,
        "snoozes": SNOOZES,
    }


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 20 else default
