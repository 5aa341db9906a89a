"""How operators set up endpoints: add, rotate, try out. Used by the API and by the command line."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from services.directory.core.people import Rep
from services.notify.channels.far import Endpoint, Field, Kind, Order, Tools, sent
from services.notify.channels.kinds import KINDS
from services.notify.core import delivery
from services.notify.core.attempt import Result
from services.notify.core.notice import Notice, ShownAccount, ShownLead, ShownSay, ShownWhat
from services.notify.core.signature import webhook_secret
from services.notify.store.endpoints import ENDPOINTS_MAX, EndpointStore, Stored
from services.runtime.clock import Clock
from services.runtime.errors import BadMessage, Conflict, Refused

NAME_MAX: Final = 64
LIST_MAX: Final = 100
LISTED_MAX: Final = 200  # characters
SECRET_BYTES: Final = 32
_SETTINGS: Final = ("name", "feed", "kinds", "reps", "segments", "concurrency", "per_s")
# Values of kinds that are called.
ADDRESSES: Final = ("url", "api", "domain")
# Options that say who gets the secrets.
PLACES: Final = (*ADDRESSES, "host", "port")
TRIES: Final = 3


class Draft(msgspec.Struct, kw_only=True):
    """An endpoint to be made. What is None comes from its kind."""

    name: str
    kind: str
    values: dict[str, str] = {}
    feed: bool | None = None
    kinds: list[str] | None = None
    reps: list[str] = []
    segments: list[str] = []
    concurrency: int | None = None
    per_s: float | None = None


class Change(msgspec.Struct, kw_only=True):
    """What is to be another with an endpoint; None stays as it is.

    Attributes:
        values: Options by name, an empty text takes one away; and secrets, where the address changes.
    """

    name: str | None = None
    values: dict[str, str] = {}
    feed: bool | None = None
    kinds: list[str] | None = None
    reps: list[str] | None = None
    segments: list[str] | None = None
    concurrency: int | None = None
    per_s: float | None = None


class Endpoints:
    """What may be done to endpoints."""

    def __init__(self, store: EndpointStore, tools: Tools, clock: Clock, kinds: Mapping[str, Kind] = KINDS) -> None:
        self.store = store
        self._tools = tools
        self._clock = clock
        self.kinds = kinds

    async def add(self, draft: Draft) -> tuple[Stored, dict[str, str]]:
        """Make one; returns it and the secrets that were made for it, shown this once.

        Raises:
            BadMessage: `invalid`, with what is wrong.
            Refused: `name_taken`.
        """
        kind = self.kinds.get(draft.kind)
        if kind is None:
            raise _invalid(f"kind: {draft.kind[:40]!r} is none; one of {', '.join(self.kinds)}")
        _check_name(draft.name)
        _check_lists(draft)
        options, given, made = _split(kind, draft.values)
        _check(kind, options, given)
        one = Stored(
            id=secrets.token_hex(8),
            name=draft.name.strip(),
            kind=kind.name,
            feed=kind.feed if draft.feed is None else draft.feed,
            options=options,
            kinds=list(kind.kinds) if draft.kinds is None else draft.kinds,
            reps=draft.reps,
            segments=draft.segments,
            concurrency=draft.concurrency or kind.concurrency,
            per_s=draft.per_s or kind.per_s,
            version=1,
            enabled=True,
            disabled_reason=None,
            disabled_at=None,
            created_at=self._clock.now(),
            rotated_at=None,
            failures=0,
            failing_since=None,
            pause_until=None,
            last_ok_at=None,
            last_error=None,
            last_error_at=None,
        )
        await self._tried_open(one, given)
        if len(await self.store.list()) >= ENDPOINTS_MAX:
            raise _invalid(f"there are {ENDPOINTS_MAX} channels, and no more are served; delete one first")
        await self.store.add(one, given)
        return one, made

    async def find(self, named: str) -> Stored:
        """The endpoint of this id or name.

        Raises:
            Refused: `not_found`.
        """
        found = await self.store.list(named, 1)
        if not found:
            msg = f"there is no channel {named[:64]!r}"
            raise Refused(msg, code="not_found")
        return found[0]

    async def change(self, named: str, change: Change) -> Stored:
        """Change an endpoint, held to the rules of a new one. What waits goes out as it is changed.

        A secret is only sent to where it was given for: another address wants the secrets once more. Nobody who may set
        channels up, but never sees their secrets, can have them sent to himself.

        Raises:
            BadMessage: `invalid`, with what is wrong.
            Refused: `not_found`, `name_taken`.
            Conflict: Others change it all the time.
        """
        for _ in range(TRIES):
            one = await self.find(named)
            kind = self.kinds[one.kind]
            now_secrets, _before = await self.store.secrets(one.id)
            options, given = _changed(kind, one.options, now_secrets, change.values)
            changed = {name: getattr(change, name) for name in _SETTINGS if getattr(change, name) is not None}
            after = msgspec.structs.replace(one, options=options, **changed)
            _check_name(after.name)
            after = msgspec.structs.replace(after, name=after.name.strip())
            _check_lists(after)
            known = {name: value for name, value in {**now_secrets, **given}.items() if value}
            _check(kind, options, known)
            await self._tried_open(after, known)
            if await self.store.change(after, known if given else None):
                return await self.find(one.id)
        msg = f"the channel {named[:64]!r} was changed by others at the same time: look at it, then say it again"
        raise Conflict(msg)

    async def rotate(self, named: str, values: Mapping[str, str]) -> tuple[Stored, dict[str, str]]:
        """New secrets. Those not given stay, those that we make are made anew; the ones before hold until the next time.

        Returns:
            The endpoint, and the secrets that were made, shown this once.
        """
        one = await self.find(named)
        kind = self.kinds[one.kind]
        now_secrets, _ = await self.store.secrets(one.id)
        unknown = set(values) - {f.name for f in kind.fields if f.secret}
        if unknown:
            raise _invalid(f"{', '.join(sorted(unknown))[:100]}: no secret of {kind.name}")
        for one_field in kind.fields:
            if one_field.name in values:
                _check_value(one_field, values[one_field.name])
        made = {
            f.name: webhook_secret(secrets.token_bytes(SECRET_BYTES))
            for f in kind.fields
            if f.made and f.name not in values
        }
        after = {**now_secrets, **values, **made}
        _check(kind, one.options, after)
        await self._tried_open(one, after)
        if not await self.store.rotate(one.id, after, now_secrets, self._clock.now()):
            return await self.find(named), {}
        return await self.find(one.id), made

    async def test(self, named: str, email: str | None = None) -> Result:
        """Send a message that says it is a test, at once; what the far side said.

        Args:
            email: To whom, where a channel finds people by their address.
        """
        one = await self.find(named)
        kind = self.kinds[one.kind]
        now_secrets, before = await self.store.secrets(one.id)
        channel = kind.open(_endpoint(one, now_secrets, before), self._tools)
        try:
            now = self._clock.now()
            request = channel.prepare(trial_order(now, email), now)
            if request is None:
                return Result(outcome="refused", detail="nothing was sent: say to which e-mail address")
            return await sent(channel, request)
        finally:
            await channel.close()

    async def _tried_open(self, one: Stored, given: Mapping[str, str]) -> None:
        """Open it once: what cannot be opened is refused now, not at night."""
        await self.kinds[one.kind].open(_endpoint(one, given, {}), self._tools).close()


def trial_order(now: datetime, email: str | None = None) -> Order:
    """The order of a test: about a person who does not exist."""
    example = Notice(
        id="test",
        rep="test",
        kind="handover",
        lead=ShownLead(id="0" * 32, email="test@example.com", name="Test Person", title="Head of Testing"),
        account=ShownAccount(domain="example.com", name="Example Company"),
        what=[ShownWhat(signal="page.viewed", at=now, url="https://example.com/pricing")],
        happened=1,
        why="This is a test of the channel; nobody has to do anything.",
        say=ShownSay(subject="Test", body="This is a test."),
        created_at=now,
        updated_at=now,
    )
    note = "This is a test of the channel."
    return Order(
        id=secrets.token_hex(16), purpose="test", who="feed", rep=Rep(id="test", email=email), notice=example, note=note
    )


def _endpoint(one: Stored, now_secrets: Mapping[str, str], before: Mapping[str, str]) -> Endpoint:
    return Endpoint(id=one.id, name=one.name, kind=one.kind, options=one.options, secrets=now_secrets, before=before)


def _split(kind: Kind, values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Options, secrets, and those secrets that we made."""
    unknown = set(values) - {f.name for f in kind.fields}
    if unknown:
        known = ", ".join(f.name for f in kind.fields)
        raise _invalid(f"{', '.join(sorted(unknown))[:100]}: not known to {kind.name}; it takes {known}")
    options: dict[str, str] = {}
    given: dict[str, str] = {}
    made: dict[str, str] = {}
    for one in kind.fields:
        value = values.get(one.name, "")
        if not value and one.made:
            value = made[one.name] = webhook_secret(secrets.token_bytes(SECRET_BYTES))
        _check_value(one, value)
        if value:
            (given if one.secret else options)[one.name] = value
    return options, given, made


def _changed(
    kind: Kind, options: Mapping[str, str], now_secrets: Mapping[str, str], values: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The options after a change, and the secrets that came with it."""
    fields = {f.name: f for f in kind.fields}
    unknown = set(values) - set(fields)
    if unknown:
        raise _invalid(f"{', '.join(sorted(unknown))[:100]}: not known to {kind.name}; it takes {', '.join(fields)}")
    given = {name: value for name, value in values.items() if fields[name].secret}
    after = {**options, **{name: value for name, value in values.items() if name not in given}}
    for name, value in {**values, **{n: v for n, v in after.items() if n in fields}}.items():
        _check_value(fields[name], value)
    after = {name: value for name, value in after.items() if value}
    moved = [name for name in PLACES if after.get(name) != options.get(name)]
    if given and not moved:
        raise _invalid(f"{', '.join(sorted(given))}: a secret; it is changed by a rotation")
    missing = [name for name in now_secrets if not fields[name].made and name not in given] if moved else []
    if missing:
        words = f"{', '.join(missing)}: say it again, as {', '.join(moved)} changes: secrets go only where they were meant to"
        raise _invalid(words)
    return after, given


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise _invalid(f"name: 1 to {NAME_MAX} printable characters")


def _check_value(one: Field, value: str) -> None:
    if not value and one.required:
        raise _invalid(f"{one.name}: is missing ({one.text})")
    if len(value) > one.max_chars or "\x00" in value:
        raise _invalid(f"{one.name}: at most {one.max_chars} characters, no NUL")
    if one.secret and not value.isprintable():
        # Such as a line break that was copied along: it would end in a header.
        raise _invalid(f"{one.name}: printable characters on one line")


def _check(kind: Kind, options: Mapping[str, str], given: Mapping[str, str]) -> None:
    for name in ADDRESSES:
        address = given.get(name) or options.get(name)
        if address and not address.startswith(("https://", "http://")):
            raise _invalid(f"{name}: write it as https://host/path")
    problem = kind.check(options, given)
    if problem is not None:
        raise _invalid(problem)


def _check_lists(draft: Draft | Stored) -> None:
    unknown = set(draft.kinds or ()) - set(delivery.KINDS)
    if unknown:
        raise _invalid(f"kinds: {', '.join(sorted(unknown))[:100]}; one or more of {', '.join(delivery.KINDS)}")
    if max(len(draft.reps), len(draft.segments)) > LIST_MAX or any(
        len(one) > LISTED_MAX for one in (*draft.reps, *draft.segments)
    ):
        raise _invalid(f"reps, segments: at most {LIST_MAX} each, of at most {LISTED_MAX} characters")
    if draft.concurrency is not None and not 1 <= draft.concurrency <= 4:
        raise _invalid("concurrency: from 1 to 4")
    if draft.per_s is not None and not 0.01 <= draft.per_s <= 1000:
        raise _invalid("per_s: from 0.01 to 1000")


def _invalid(words: str, detail: Any = None) -> BadMessage:
    return BadMessage(words, code="invalid", detail=detail)
