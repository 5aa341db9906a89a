"""The port of a platform: how its requests are verified and read. One file a platform implements it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from services.ingest.core.limits import BadItem, mended_escapes, mended_utf8, suspicious
from services.ingest.core.mapping import Seen

T = TypeVar("T")


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One authenticated request, before it is read.

    Attributes:
        kind: What the path says the body is: `track`, `batch`, …; `hook` for /hooks; `events` for /events.
        url: The address as the sender called it.
        headers: Names in lower case.
        raw: The body as it came over the wire: what signatures are made of.
        body: The body inflated, as valid UTF-8.
    """

    kind: str
    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes
    body: bytes
    received_at: datetime


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds for what one request may hold, from the settings."""

    items: int = 2000
    event_bytes: int = 32_768
    nesting: int = 32


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """One item that cannot be used: its place in the request, why, and its bytes."""

    index: int
    code: str
    message: str
    raw: bytes


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a type that means nothing to us, counted by that type.

    An item of a type that nobody here knows is also in `seen`, as a signal of the sender's own, so that a policy can
    name it. An item of a type that is known to be of no use (`processed`, `sent`, a ping) is only counted.
    """

    index: int
    type: str


class Parsed(msgspec.Struct, kw_only=True):
    """What a body held: good items with their place, bad ones, and those that mean nothing to us."""

    seen: list[tuple[int, Seen]]
    rejected: list[Rejected]
    ignored: list[Ignored] = []


class BadBody(Exception):
    """The whole body cannot be read. `status` is the HTTP answer for it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def nothing_to_verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:  # noqa: ARG001 the port's shape
    """The platform signs nothing."""
    return None


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """One platform.

    Attributes:
        verify: (arrival, secrets) to None when the signature holds, else words; secrets newest first, never empty.
        parse: (arrival, limits) to what the body holds. Raises `BadBody`.
        parse_item: (the bytes of one rejected item, limits) to what it holds now: replay of a dead letter.
        signed: Every source of it has a secret: one is made when none is given, and unsigned requests are refused.
        challenge: (query, source id) to the text that a GET probe must be answered with; None: the usual answer.
        token: What a signature covers when it does not cover the event: the same token with another body is refused.
    """

    name: str
    parse: Callable[[Arrival, Limits], Parsed]
    parse_item: Callable[[bytes, Limits], Parsed]
    verify: Callable[[Arrival, Sequence[str]], str | None] = nothing_to_verify
    signed: bool = False
    challenge: Callable[[Mapping[str, str], str], str | None] | None = None
    token: Callable[[Arrival], str | None] | None = None


_any: Final = msgspec.json.Decoder()


def words(error: Exception) -> str:
    """A decoder's complaint for people."""
    text = str(error)
    return text.removeprefix("JSON is malformed: ") if text else type(error).__name__


def replayed(raw: bytes, kind: str) -> Arrival:
    """The bytes of a dead letter as if they had just arrived, already verified."""
    body = clean_body(raw)
    return Arrival(kind=kind, method="POST", url="", headers={}, query={}, raw=raw, body=body, received_at=_NEVER)


_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def clean_body(body: bytes) -> bytes:
    """The body as UTF-8 that can be stored: escaped NULs become U+FFFD, broken UTF-8 too."""
    body = mended_utf8(body)
    # One byte is found far quicker than six.
    return mended_escapes(body) if b"\\" in body and b"\\u0000" in body else body


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a whole body, mending lone surrogates when that is what is wrong.

    Raises:
        BadBody: `malformed_json`, `wrong_shape`, `empty_body`, `nested_too_deep`.
    """
    if not body.strip():
        raise BadBody("empty_body", "the request has no body")
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if not suspicious(body):
                raise
            return decoder.decode(mended_escapes(body))
    except msgspec.ValidationError as error:
        raise BadBody("wrong_shape", f"the body has another shape than we read: {words(error)}") from error
    except msgspec.DecodeError as error:
        raise BadBody("malformed_json", f"the body is no JSON: {words(error)}") from error
    except RecursionError as error:
        raise BadBody("nested_too_deep", "the body nests too deep") from error


def decode_object(raw: bytes, what: str) -> dict[str, object] | None:
    """An object inside an item as a dict; None when absent, null or an empty list.

    Raises:
        BadItem: `wrong_type`, `malformed_json`.
    """
    if not raw:
        return None
    try:
        value = _any.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadItem("malformed_json", f"{what} cannot be read: {words(error)}") from error
    if value is None or value == []:  # PHP writes an empty object as an empty list
        return None
    if isinstance(value, dict):
        return value
    raise BadItem("wrong_type", f"{what} must be an object, not {type(value).__name__}")
