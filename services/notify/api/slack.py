"""`/v1/slack/actions`: a rep presses a button in Slack. Verified over the raw bytes, answered within Slack's 3 seconds."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import parse_qs

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.directory.core.people import Rep
from services.notify.api.inbox import Inbox
from services.notify.channels.far import Endpoint, Tools
from services.notify.channels.slack import HEADERS, SlackBot, users_of
from services.notify.core import slack
from services.notify.core.signature import from_slack
from services.notify.store.endpoints import EndpointStore
from services.notify.store.ledger import Ledger
from services.runtime.clock import Clock
from services.runtime.errors import LeadRouterError, Misconfigured, Refused, Unavailable
from services.runtime.http import answer

log = structlog.get_logger(__name__)

PATH: Final = "/v1/slack/actions"
# Slack shows an error after 3 s; what takes longer goes on behind the answer.
ANSWER_S: Final = 2.0
CACHE_S: Final = 5.0
BEHIND_MAX: Final = 200
BODY_MAX: Final = 65_536
SNOOZE: Final = timedelta(hours=1)
KINDS: Final = ("slack_webhook", "slack_bot")


class LeadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a rep has answered, for the router."""

    command: Literal["accept", "decline", "snooze"]
    lead_id: str
    assignment_id: str
    gen: int
    rep: str
    reason: str | None = None
    until: datetime | None = None


# Does what the rep asks for; raises Refused (with words) when it is too late or not theirs. The router gives it to us.
Answer = Callable[[LeadAnswer], Awaitable[None]]


class SlackActions:
    """Buttons pressed in Slack.

    Args:
        reps: The directory's reps, as they are now.
        give: The router's answers.
    """

    def __init__(
        self,
        store: EndpointStore,
        tools: Tools,
        clock: Clock,
        inbox: Inbox,
        ledger: Ledger,
        *,
        reps: Callable[[], Mapping[str, Rep]],
        give: Answer,
    ) -> None:
        self._store = store
        self._tools = tools
        self._clock = clock
        self._inbox = inbox
        self._ledger = ledger
        self._reps = reps
        self._give = give
        self._behind: set[asyncio.Task[None]] = set()
        self._known: tuple[float, list[Endpoint]] = (float("-inf"), [])

    def routes(self) -> list[BaseRoute]:
        """The one route."""
        return [Route(PATH, self.pressed, methods=["POST"])]

    async def stop(self) -> None:
        """Let what goes on behind answers end."""
        if self._behind:
            await asyncio.wait(self._behind, timeout=2.0)
        left = list(self._behind)
        for task in left:
            task.cancel()
        # What they had begun in the database is rolled back before that is closed.
        await asyncio.gather(*left, return_exceptions=True)

    async def pressed(self, request: Request) -> Response:
        """One press of a button."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        body = await request.body()
        if len(body) > BODY_MAX:
            return answer(413, "too_large", f"a button of Slack takes at most {BODY_MAX} bytes")
        if not timestamp or not signature:
            return _unsigned()
        endpoint = await self._from(timestamp, signature, body)
        if endpoint is None:
            return _unsigned()
        payload = _payload(body)
        if payload is None:
            return answer(400, "bad_message", "the body is not what Slack sends for a button")
        if len(self._behind) >= BEHIND_MAX:
            return answer(429, "too_busy", "too many buttons at once; press again", headers={"Retry-After": "1"})
        task = asyncio.create_task(self._do(endpoint, payload), name="slack action")
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)
        await asyncio.wait({task}, timeout=ANSWER_S)
        return Response(status_code=200)

    async def _from(self, timestamp: str, signature: str, body: bytes) -> Endpoint | None:
        """The endpoint whose app has signed this; every one is tried, so that time tells nothing."""
        now_s = self._clock.now().timestamp()
        found: Endpoint | None = None
        for one in await self._endpoints():
            secrets = [s["signing_secret"] for s in (one.secrets, one.before) if s.get("signing_secret")]
            if from_slack(secrets, timestamp, signature, body, now_s):
                found = one
        return found

    async def _endpoints(self) -> list[Endpoint]:
        until, known = self._known
        if self._clock.monotonic() < until:
            return known
        known = []
        for one in await self._store.list():
            if one.kind in KINDS:
                try:
                    secrets, before = await self._store.secrets(one.id)
                except Misconfigured as error:
                    log.error("endpoint cannot be opened", endpoint=one.name, error=error.message)
                    continue
                known.append(
                    Endpoint(
                        id=one.id, name=one.name, kind=one.kind, options=one.options, secrets=secrets, before=before
                    )
                )
        self._known = (self._clock.monotonic() + CACHE_S, known)
        return known

    async def _do(self, endpoint: Endpoint, payload: Mapping[str, Any]) -> None:
        try:
            url = str(payload.get("response_url") or "")
            for action in payload.get("actions", ())[:1]:
                command = slack.command_of(str(action.get("action_id", "")))
                asked = slack.pressed(str(action.get("value", "")))
                if command is None or asked is None:
                    continue  # a link button: the browser has opened it
                rep = await self._rep(endpoint, str((payload.get("user") or {}).get("id", "")))
                said = await self._answered(command, asked, rep)
                await self._reply(url, said)
        except Exception:
            log.exception("a button of Slack failed", endpoint=endpoint.name)

    async def _answered(
        self, command: Literal["accept", "decline", "snooze"], asked: slack.Pressed, rep: str | None
    ) -> dict[str, Any]:
        """Do it; what to say in Slack."""
        if rep is None:
            return _aside("I do not know who you are: your Slack address is no rep's. Answer in the inbox.")
        until = self._clock.now() + SNOOZE
        try:
            await self._give(
                LeadAnswer(
                    command=command,
                    lead_id=asked.lead,
                    assignment_id=asked.offer,
                    gen=asked.gen,
                    rep=rep,
                    reason="not_now" if command == "decline" else None,
                    until=until if command == "snooze" else None,
                )
            )
            # An answer is a reaction: the ladder stops.
            await self._inbox.read(rep, asked.notice)
        except LeadRouterError as error:
            return _aside(slack.escaped(error.message, 500))
        if command == "snooze":
            return _aside(f"You will be reminded at <!date^{int(until.timestamp())}^{{time}}|{until:%H:%M} UTC>.")
        if command == "accept":
            return await self._replaced(rep, asked, "claimed", "You have taken it.")
        return await self._replaced(rep, asked, "expired", "Declined: not now.")

    async def _replaced(
        self, rep: str, asked: slack.Pressed, state: Literal["claimed", "expired"], words: str
    ) -> dict[str, Any]:
        """The message with its buttons gone; a bot's is told of later changes as well."""
        notice = await self._ledger.notice(rep, asked.notice)
        if notice is None:
            return {"replace_original": True, "text": words}
        ended = msgspec.structs.replace(notice, state=state, note=words)
        links = self._tools.links
        made = slack.message(ended, inbox_url=links.inbox(), lead_url=links.lead(asked.lead), buttons=False)
        return {"replace_original": True, **made}

    async def _rep(self, endpoint: Endpoint, user: str) -> str | None:
        """Which rep a Slack user is: as the operator said, else by the e-mail address of both."""
        reps = self._reps()
        named = users_of(endpoint.options).get(user)
        if named is not None:
            return named if named in reps and reps[named].active else None
        if not user or endpoint.kind != "slack_bot":
            return None
        bot = SlackBot(endpoint, self._tools)
        try:
            email = await bot.email_of(user)
        finally:
            await bot.close()
        if email is None:
            return None
        found = [r.id for r in reps.values() if r.active and r.email and r.email.casefold() == email.casefold()]
        return found[0] if len(found) == 1 else None

    async def _reply(self, url: str, said: Mapping[str, Any]) -> None:
        if not url:
            return
        with contextlib.suppress(Unavailable, Refused):
            http = self._tools.connect(url)
            try:
                await http.call("POST", "", HEADERS, msgspec.json.encode(said))
            finally:
                await http.close()


def _payload(body: bytes) -> Mapping[str, Any] | None:
    try:
        text = parse_qs(body.decode(), max_num_fields=10).get("payload", [""])[0]
        told = msgspec.json.decode(text, type=dict[str, Any])
    except (UnicodeDecodeError, ValueError):
        return None
    actions = told.get("actions")
    good = (
        told.get("type") == "block_actions" and isinstance(actions, list) and all(isinstance(a, dict) for a in actions)
    )
    return told if good and isinstance(told.get("user") or {}, dict) else None


def _aside(words: str) -> dict[str, Any]:
    return {"response_type": "ephemeral", "replace_original": False, "text": words}


def _unsigned() -> Response:
    return answer(
        401, "bad_signature", "this is not signed by a Slack app that we know, or it is older than five minutes"
    )
