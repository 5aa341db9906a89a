"""What did the client send? Bodies read and inflated within bounds, keys found where clients put them."""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

from services.ingest.sources.base import BadBody

GZIP_MAGIC: Final = b"\x1f\x8b"
# zlib header of the usual window sizes: 78 01, 78 5e, 78 9c, 78 da.
_ZLIB: Final = tuple(bytes((0x78, second)) for second in (0x01, 0x5E, 0x9C, 0xDA))
_AUTO_DETECT: Final = 47  # 15 bits of window, gzip or zlib by the header
_RAW_DEFLATE: Final = -15
QUERY_KEYS: Final = ("writeKey", "write_key", "api_key", "key")


async def read_body(request: Request, limit: int) -> bytes:
    """The body as it comes over the wire.

    Raises:
        BadBody: 413 `too_large`.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> BadBody:
    return BadBody("too_large", f"the body is larger than {limit} bytes; send it in smaller parts", 413)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without compression. Gzip is known by its first bytes, whatever the header says.

    Raises:
        BadBody: `bad_compression`, 413 `inflated_too_large`, 415 `unsupported_encoding`.
    """
    names = [
        name.strip().lower() for name in encoding.split(",") if name.strip() and name.strip().lower() != "identity"
    ]
    if body.startswith(GZIP_MAGIC) or (names == ["deflate"] and body.startswith(_ZLIB)):
        return _inflated(body, _AUTO_DETECT, limit)
    if names == ["deflate"]:
        return _inflated(body, _RAW_DEFLATE, limit)
    if names and names not in (["gzip"], ["x-gzip"]):
        raise BadBody("unsupported_encoding", f"content-encoding {encoding[:60]!r}: send gzip or plain", 415)
    return body  # labelled gzip and is none: proxies inflate and forget the header


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    made: list[bytes] = []
    left, rest = limit, body
    try:
        while rest:
            inflater = zlib.decompressobj(wbits=window)
            part = inflater.decompress(rest, left + 1)
            left -= len(part)
            if left < 0:
                raise BadBody("inflated_too_large", f"the body inflates to more than {limit} bytes", 413)
            if not inflater.eof:
                raise BadBody("bad_compression", "the compressed body ends too early")
            made.append(part)
            rest = inflater.unused_data.lstrip(b"\0")  # gzip files may be padded and joined
            if rest and not rest.startswith(GZIP_MAGIC):
                break
    except zlib.error as error:
        raise BadBody("bad_compression", f"the body cannot be inflated: {error}") from error
    return b"".join(made)


def header_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The write key of `Authorization: Basic key:`, `Bearer key`, or the query; None when none is given."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "basic":
            try:
                text = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                return ""
            user, _, password = text.partition(":")
            return user or password
        case "bearer":
            return value.strip()
        case _:
            pass
    for name in QUERY_KEYS:
        if query.get(name):
            return query[name]
    return None
