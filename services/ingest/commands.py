"""Orders about sources: make one, give it another key, try one out. For the API, the command line, the first start."""

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.messages import NO_PROPERTIES
from services.eventlog import deadletter
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import Arrival, BadBody, Limits, Platform, clean_body
from services.ingest.sources.registry import PLATFORMS, platform_named
from services.ingest.sources.setup import SETUP, steps_of
from services.ingest.store import KEY_MAX_CHARS, NewSource, Source, SourceStore
from services.runtime.clock import Clock, SystemClock
from services.runtime.db import Database
from services.runtime.errors import BadMessage
from services.runtime.secretbox import open_secret_box
from services.runtime.security import new_token
from services.runtime.settings import Settings

KEY_MIN_CHARS: Final = 8
NAME_MAX_CHARS: Final = 128
SECRET_MAX_CHARS: Final = 512
REJECTS_LOOKED_AT: Final = 500
REJECTS_SHOWN: Final = 10
# Platforms whose events name a contact by an id alone.
LOOK_UPS: Final = ("hubspot",)


def open_store(db: Database, settings: Settings, clock: Clock | None = None) -> SourceStore:
    """The store of sources, for callers that run no ingest."""
    return SourceStore(db, open_secret_box(settings), clock or SystemClock())


async def create_source(
    store: SourceStore,
    name: str,
    platform: str,
    write_key: str | None = None,
    secret: str | None = None,
    *,
    publishable: bool = False,
) -> NewSource:
    """A new source. Keys that are not given are made; they are shown this once.

    Args:
        platform: One of the registry, or an alias (`rudderstack`).
        write_key: What the client authenticates with; 8 to 256 printable characters.
        secret: What the platform signs its requests with.
        publishable: The key stands in web pages: what comes with it adds points but verifies nothing.

    Raises:
        BadMessage: `unknown_platform`, `bad_name`, `bad_key`, `bad_secret`.
        Refused: `name_taken`, `key_taken`.
    """
    found = platform_named(platform)
    if found is None:
        msg = f"platform {platform!r} is unknown; known are {', '.join(PLATFORMS)}"
        raise BadMessage(msg, code="unknown_platform")
    name = name.strip()
    if not (0 < len(name) <= NAME_MAX_CHARS and name.isprintable()):
        msg = f"a source needs a name of 1 to {NAME_MAX_CHARS} printable characters"
        raise BadMessage(msg, code="bad_name")
    key = write_key or _new_key(publishable=publishable)
    if not (
        KEY_MIN_CHARS <= len(key) <= KEY_MAX_CHARS and key.isascii() and key.isprintable() and not set(key) & set(": ")
    ):
        msg = f"a write key has {KEY_MIN_CHARS} to {KEY_MAX_CHARS} printable ASCII characters, no blanks and colons"
        raise BadMessage(msg, code="bad_key")
    _check_secret(secret)
    if secret is None and found.signed:
        secret = _new_secret()
    made = NewSource(
        id=secrets.token_hex(16), name=name, platform=found.name, write_key=key, secret=secret, publishable=publishable
    )
    await store.create(made)
    return made


async def rotate_source(store: SourceStore, source: Source, secret: str | None = None) -> NewSource | None:
    """A new key for a source, and a new secret where we make it or one is given. None when it is gone meanwhile.

    Raises:
        BadMessage: `bad_secret`.
    """
    _check_secret(secret)
    if secret is None and PLATFORMS[source.platform].signed:
        secret = _new_secret()
    made = NewSource(
        id=source.id,
        name=source.name,
        platform=source.platform,
        write_key=_new_key(publishable=source.publishable),
        secret=secret,
        publishable=source.publishable,
    )
    return made if await store.rotate(source.id, made.write_key, secret) else None


async def set_api_token(store: SourceStore, source_id: str, platform: str, token: str | None) -> bool:
    """Let contacts be looked up at the platform with this token; None: not any more. False: no such source.

    Raises:
        BadMessage: `bad_token`, `no_look_up`.
    """
    if platform not in LOOK_UPS:
        msg = f"contacts are looked up for {', '.join(LOOK_UPS)} only; {platform} sends all it knows in its events"
        raise BadMessage(msg, code="no_look_up")
    if token is not None and not (0 < len(token) <= SECRET_MAX_CHARS and token.isascii() and token.isprintable()):
        msg = f"an API token has 1 to {SECRET_MAX_CHARS} printable ASCII characters"
        raise BadMessage(msg, code="bad_token")
    return await store.set_api_token(source_id, token)


async def describe(db: Database, store: SourceStore, settings: Settings, ref: str) -> dict[str, Any] | None:
    """All that may be shown of a source: what to do in its platform, what came last, what was refused and why.

    Args:
        ref: Its id or its name.

    Returns:
        None when there is no such source.
    """
    found = await store.about(ref)
    if found is None:
        return None
    base = base_url(settings)
    setup = SETUP[found["platform"]]
    return {
        **found,
        "hook_url": f"{base}/hooks/{found['id']}",
        "steps": steps_of(found["platform"], base, found["id"]),
        "secret_is": setup.secret,
        "last_rejects": await _last_rejects(db, found["id"]),
    }


async def _last_rejects(db: Database, source_id: str) -> list[dict[str, Any]]:
    letters = await deadletter.list_letters(db, stage="ingest", limit=REJECTS_LOOKED_AT)
    of_it = [letter for letter in letters if _source_of(letter.key) == source_id]
    return [
        {"id": one.id, "at": one.died_at, "reason": one.reason, "detail": one.detail, "times": one.attempts}
        for one in of_it[:REJECTS_SHOWN]
    ]


def _source_of(key: bytes | None) -> str | None:
    try:
        return msgspec.json.decode(key or b"", type=_Origin).source
    except msgspec.DecodeError:
        return None


class _Origin(msgspec.Struct):
    source: str


def base_url(settings: Settings) -> str:
    """How platforms call us."""
    return settings.public_url or settings.local_url


def preview(
    platform: Platform,
    body: bytes,
    *,
    now: datetime,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    spellings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a payload would become, without keeping anything: events, bad items with reasons, ignored types.

    Args:
        headers: Names in lower case; only those that the platform's parser reads matter.
        query: What stands behind the hook's address: the field map of the generic source.
        spellings: The company's own names of events.
    """
    arrival = Arrival(
        kind="hook",
        method="POST",
        url="",
        headers=headers or {},
        query=query or {},
        raw=body,
        body=clean_body(body),
        received_at=now,
    )
    try:
        parsed = platform.parse(arrival, Limits())
    except BadBody as error:
        return {"events": [], "rejected": [{"code": error.code, "message": error.message}], "ignored": []}
    rejected = [{"index": bad.index, "code": bad.code, "message": bad.message} for bad in parsed.rejected]
    facts = Facts(source="/sources/preview", trust="secret", received_at=now)
    events: list[Any] = []
    for index, seen in parsed.seen:
        try:
            event = to_event(seen, facts, Speller(spellings))
        except BadItem as bad:
            rejected.append({"index": index, "code": bad.code, "message": bad.message})
            continue
        event.data.properties = NO_PROPERTIES  # the payload lies before whoever asks
        shown: dict[str, Any] = msgspec.to_builtins(event.data)
        events.append({"index": index, "id": event.id, "time": event.time, **shown})
    ignored = [{"index": item.index, "type": item.type} for item in parsed.ignored]
    return {"events": events, "rejected": rejected, "ignored": ignored}


def _check_secret(secret: str | None) -> None:
    if secret is not None and not (0 < len(secret) <= SECRET_MAX_CHARS and secret.isprintable()):
        msg = f"a signing secret has 1 to {SECRET_MAX_CHARS} printable characters"
        raise BadMessage(msg, code="bad_secret")


def _new_key(*, publishable: bool) -> str:
    return new_token("lrpk" if publishable else "lrwk")


def _new_secret() -> str:
    """A signing secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
