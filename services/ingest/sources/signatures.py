"""How do vendors sign? The schemes that several share, over raw bytes and in constant time."""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from typing import Final, Literal

from services.ingest.sources.base import Arrival

Verify = Callable[[Arrival, Sequence[str]], str | None]
Encoding = Literal["hex", "base64", "base64url"]
MISMATCH: Final = "the signature does not fit the body and the secret"


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in constant time; what is not ASCII never is."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def digest(secret: str, content: bytes, algorithm: str, encoding: Encoding) -> str:
    """HMAC as text."""
    made = hmac.digest(secret.encode(), content, algorithm)
    if encoding == "hex":
        return made.hex()
    if encoding == "base64":
        return base64.b64encode(made).decode()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def any_fits(given: str, secrets: Sequence[str], content: bytes, algorithm: str, encoding: Encoding) -> bool:
    """Whether the signature was made with one of the secrets. All are tried, whichever fits."""
    if encoding == "hex":
        given = given.lower()
    matches = False
    for secret in secrets:
        matches |= same(given, digest(secret, content, algorithm, encoding))
    return matches


def over_body(header: str, algorithm: str, encoding: Encoding, prefix: str = "") -> Verify:
    """A check of a header that holds `prefix` and an HMAC of the raw body."""
    name = header.lower()

    def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
        given = arrival.headers.get(name, "").strip()
        if not given:
            return f"the header {header} is missing"
        if not given.startswith(prefix):
            return f"the header {header} must begin with {prefix}"
        fits = any_fits(given[len(prefix) :], secrets, arrival.raw, algorithm, encoding)
        return None if fits else MISMATCH

    return verify


def within(stamp: str, now_s: float, tolerance_s: float, per_second: int = 1) -> bool:
    """Whether a stamp in Unix seconds (or smaller parts of it) is no farther from now, in both directions."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 16):
        return False
    return abs(now_s - int(stamp) / per_second) <= tolerance_s


# Where platforms that sign nothing let an operator put a password of their own.
_HEADERS: Final = ("x-api-key", "x-webhook-token", "x-webhook-secret", "x-auth-token", "x-lead-router-key", "api-key")
_QUERY: Final = ("secret", "token", "key")


def shared_secret(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check a password that the platform merely repeats: `Authorization` Basic or Bearer, a header, or the query.

    In Basic the secret may be the user, the password, or `user:password` together.
    """
    given: list[str] = []
    scheme, _, value = arrival.headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            pair = ""
        user, _, password = pair.partition(":")
        given += [part for part in (password, user, pair) if part]
    elif scheme:
        given.append(value or scheme)
    given += [arrival.headers[name] for name in _HEADERS if name in arrival.headers]
    given += [arrival.query[name] for name in _QUERY if arrival.query.get(name)]
    if not given:
        return "the secret of this source is needed: as Basic password, Bearer token, header X-Api-Key or ?secret="
    matches = False
    for one in given[:16]:
        for secret in secrets:
            matches |= same(one, secret)
    return None if matches else "the password is not the secret of this source"
