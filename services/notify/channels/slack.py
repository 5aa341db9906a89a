"""Slack: an incoming webhook (one channel, no changes), or a bot (a channel, or each rep by e-mail address; changes)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from typing_extensions import override

from services.notify.channels.far import (
    ODD,
    Endpoint,
    FarChannel,
    Field,
    Kind,
    Links,
    Order,
    Tools,
    answered,
    unexpected,
    unreachable,
)
from services.notify.core import slack
from services.notify.core.attempt import Outcome, Result
from services.runtime.errors import Refused, Unavailable

API: Final = "https://slack.com/api"
HEADERS: Final = {"content-type": "application/json; charset=utf-8", "user-agent": "lead-router"}
EVENT: Final = "lead_router_delivery"
# The webhook, its channel or its app is no more.
GONE: Final = frozenset(("no_service", "no_service_id", "no_team", "no_active_hooks", "channel_is_archived", "channel_not_found"))  # fmt: skip
# Answers of the Web API after which the same message will never do.
NEVER: Final = frozenset(
    ("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "channel_not_found",
     "not_in_channel", "is_archived", "restricted_action", "users_not_found", "user_not_found", "message_not_found",
     "cant_update_message", "edit_window_closed", "cannot_dm_bot", "user_disabled", "user_not_visible")
)  # fmt: skip
BUSY: Final = frozenset(("ratelimited", "rate_limited", "message_limit_exceeded"))
# Answers that say for good that we may not look at what was sent; any other says that we cannot just now.
BLIND: Final = frozenset(
    ("missing_scope", "not_in_channel", "channel_not_found", "no_permission", "not_allowed_token_type", "access_denied",
     "method_not_supported_for_channel_type", "team_access_not_granted")
)  # fmt: skip
KNOWN_MAX: Final = 2000
SEARCH_MESSAGES: Final = 50


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way. `email`: to whom, when it goes to a person; `ts`: which one is to be changed."""

    id: str
    body: dict[str, Any]
    channel: str = ""
    email: str = ""
    ts: str = ""
    search: bool = False


def body_of(order: Order, links: Links, *, buttons: bool) -> dict[str, Any]:
    """The message of an order."""
    if order.items:
        return slack.digest(order.items, inbox_url=links.inbox())
    return slack.message(
        order.notice,
        inbox_url=links.inbox(),
        lead_url=links.lead(order.notice.lead.id),
        buttons=buttons and order.purpose != "test",
        note=order.note,
        again=order.maybe_sent,
    )


class SlackWebhook(FarChannel):
    """One incoming webhook."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._http = tools.connect(endpoint.secrets["url"])
        self._links = tools.links
        self._buttons = bool(endpoint.secrets.get("signing_secret"))

    @override
    def prepare(self, order: Order, now: datetime) -> bytes:
        return msgspec.json.encode({**body_of(order, self._links, buttons=self._buttons), "unfurl_links": False})

    @override
    async def send(self, request: bytes) -> Result:
        try:
            reply = await self._http.call("POST", "", HEADERS, request)
        except (Unavailable, Refused) as error:
            return unreachable(error)
        word = reply.body[:64].decode("utf-8", "replace").strip()
        if reply.status == 200 and word == "ok":
            return Result(outcome="ok")
        if word in GONE:
            return Result(outcome="gone", detail=word)
        found = answered(reply)
        detail = word if word.isidentifier() else found.detail
        # 403 is a rule of the workspace here, not a password that could be mended.
        outcome: Outcome = "refused" if reply.status == 403 or found.outcome == "ok" else found.outcome
        return msgspec.structs.replace(found, outcome=outcome, detail=detail)

    @override
    async def close(self) -> None:
        await self._http.close()


class SlackBot(FarChannel):
    """One workspace, by a bot's token."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._http = tools.connect(endpoint.options.get("api") or API)
        self._links = tools.links
        self._channel = endpoint.options.get("channel", "")
        self._headers = {**HEADERS, "authorization": f"Bearer {endpoint.secrets['token']}"}
        self._buttons = bool(endpoint.secrets.get("signing_secret"))
        self._places: dict[str, str] = {}

    @override
    def prepare(self, order: Order, now: datetime) -> Said | None:
        body = body_of(order, self._links, buttons=self._buttons)
        if order.purpose == "change":
            if order.receipt is None:
                return None
            return Said(id=order.id, body=body, channel=order.receipt["channel"], ts=order.receipt["ts"])
        if self._channel:
            return Said(id=order.id, body=body, channel=self._channel, search=order.maybe_sent)
        return Said(id=order.id, body=body, email=order.rep.email or "", search=order.maybe_sent)

    @override
    async def send(self, request: Said) -> Result:
        try:
            place: str | Result = request.channel or await self._direct(request.email)
            if isinstance(place, Result):
                return place
            if request.ts:
                changed = {"channel": place, "ts": request.ts, **request.body}
                _, failed = await self._call("chat.update", changed)
                return failed or Result(outcome="ok", receipt={"channel": place, "ts": request.ts})
            before = await self._find(place, request.id) if request.search else None
            if isinstance(before, Result):
                return before
            if before:
                return Result(outcome="ok", receipt={"channel": place, "ts": before}, detail="it was there already")
            metadata = {"event_type": EVENT, "event_payload": {"delivery": request.id}}
            told, failed = await self._call(
                "chat.postMessage", {"channel": place, "unfurl_links": False, "metadata": metadata, **request.body}
            )
            if failed is not None:
                return failed
            return Result(outcome="ok", receipt={"channel": str(told.get("channel", place)), "ts": str(told.get("ts"))})
        except (Unavailable, Refused) as error:
            return unreachable(error)
        except ODD as error:
            # Only look-ups are read so closely; nothing has been sent behind one.
            return unexpected(error, uncertain=False)

    @override
    async def close(self) -> None:
        await self._http.close()

    async def email_of(self, user: str) -> str | None:
        """The e-mail address of a Slack user, who has pressed a button."""
        try:
            told, failed = await self._call("users.info", {"user": user}, form=True)
            profile = (told.get("user") or {}).get("profile") or {}
            return str(profile["email"]) if failed is None and profile.get("email") else None
        except (Unavailable, Refused, *ODD):
            return None

    async def _direct(self, email: str) -> str | Result:
        """The conversation with a person; looked up once."""
        if not email:
            return Result(outcome="refused", detail="the rep has no e-mail address to be found by")
        if email not in self._places:
            told, failed = await self._call("users.lookupByEmail", {"email": email}, form=True)
            if failed is not None:
                return failed
            told, failed = await self._call("conversations.open", {"users": told["user"]["id"]})
            if failed is not None:
                return failed
            if len(self._places) >= KNOWN_MAX:
                self._places.clear()
            self._places[email] = str(told["channel"]["id"])
        return self._places[email]

    async def _find(self, channel: str, delivery: str) -> str | Result | None:
        """The message that carries this delivery's id, if one of the newest does; None also when we may never look.

        A Result: it cannot be said now, so nothing must be sent.
        """
        asked = {"channel": channel, "limit": str(SEARCH_MESSAGES), "include_all_metadata": "true"}
        told, failed = await self._call("conversations.history", asked, form=True)
        if failed is not None:
            return None if failed.detail.rpartition(" ")[2] in BLIND else failed
        for one in told.get("messages", ()):
            if (one.get("metadata") or {}).get("event_payload", {}).get("delivery") == delivery:
                return str(one["ts"])
        return None

    async def _call(
        self, method: str, content: Mapping[str, Any], *, form: bool = False
    ) -> tuple[dict[str, Any], Result | None]:
        """Call a method of the Web API; its answer, and what it means when it is no success."""
        headers, body = dict(self._headers), msgspec.json.encode(content)
        if form:
            headers["content-type"] = "application/x-www-form-urlencoded"
            body = urlencode(content).encode()
        reply = await self._http.call("POST", f"/{method}", headers, body)
        if reply.status != 200:
            return {}, answered(reply)
        try:
            told = msgspec.json.decode(reply.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return {}, Result(outcome="failed", detail="the answer is no JSON", uncertain=True)
        if told.get("ok") is True:
            return told, None
        word = str(told.get("error", ""))[:64]
        outcome: Outcome = "refused" if word in NEVER else "overloaded" if word in BUSY else "failed"
        return {}, Result(outcome=outcome, retry_after_s=reply.retry_after_s, detail=f"{method}: {word}")


def users_of(options: Mapping[str, str]) -> dict[str, str]:
    """Slack user ids to rep ids, as the option `users` says: `U012=anna, U345=ben`."""
    pairs = [one.partition("=") for one in options.get("users", "").split(",")]
    return {user.strip(): rep.strip() for user, _, rep in pairs if user.strip() and rep.strip()}


_SIGNING: Final = Field(
    "signing_secret", "of the Slack app; with it messages get buttons (docs/channels.md)", secret=True, required=False
)
_USERS: Final = Field(
    "users", "who is who, if e-mail addresses do not tell: U012=anna, U345=ben", required=False, max_chars=20_000
)
WEBHOOK: Final = Kind(
    name="slack_webhook",
    title="Slack incoming webhook",
    fields=(Field("url", "https://hooks.slack.com/services/…", secret=True), _SIGNING, _USERS),
    open=SlackWebhook,
    feed=True,
    concurrency=1,
    # Slack takes one message a second for a channel, and short bursts.
    per_s=1.0,
)
BOT: Final = Kind(
    name="slack_bot",
    title="Slack app (bot token)",
    fields=(
        Field("token", "xoxb-…, with chat:write, im:write, users:read.email", secret=True),
        _SIGNING,
        Field("channel", "id of a channel; each rep's direct messages when not given", required=False, max_chars=40),
        _USERS,
        Field("api", "where the Web API is, if not https://slack.com/api", required=False, max_chars=200),
    ),
    open=SlackBot,
    changes=True,
    concurrency=2,
    per_s=2.0,
)
