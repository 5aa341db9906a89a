"""How secrets that we hand out are made, kept and compared.

A token is 256 random bits, so a plain SHA-256 of it is enough to keep: nobody can try them all (unlike passwords).
"""

import hashlib
import hmac
import secrets

TOKEN_BYTES = 32


def new_token(prefix: str) -> str:
    """A fresh token, 256 random bits after `prefix_`; the prefix lets secret scanners know it."""
    return f"{prefix}_{secrets.token_urlsafe(TOKEN_BYTES)}"


def hash_token(token: str) -> bytes:
    """What we keep of a token: its SHA-256, 32 bytes."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def same(one: str | bytes, other: str | bytes) -> bool:
    """Whether two secrets are equal, in a time that says nothing about where they differ."""
    left = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one
    right = other.encode("utf-8", "surrogatepass") if isinstance(other, str) else other
    return hmac.compare_digest(left, right)
