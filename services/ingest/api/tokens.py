"""Has this signature been used for something else? For platforms that sign a token and not the event (Mailgun).

The same token with the same body is a retry and harmless: the event has its id. With another body it is forged. The
memory is this process's own and bounded; what is older, or before a restart, is no longer known.
"""

from hashlib import blake2b
from typing import Final

TOKENS_MAX: Final = 100_000


class UsedTokens:
    """Tokens of accepted requests, each with a hash of its body; the oldest are forgotten first."""

    def __init__(self, longest: int = TOKENS_MAX) -> None:
        self._bodies: dict[bytes, bytes] = {}
        self._longest = longest

    def used(self, source_id: str, token: str, body: bytes) -> bool:
        """Whether the token came before with another body."""
        known = self._bodies.get(_hash(source_id.encode(), token.encode("utf-8", "replace")))
        return known is not None and known != _hash(body)

    def use(self, source_id: str, token: str, body: bytes) -> None:
        """Remember a token that was accepted."""
        self._bodies[_hash(source_id.encode(), token.encode("utf-8", "replace"))] = _hash(body)
        if len(self._bodies) > self._longest:
            del self._bodies[next(iter(self._bodies))]


def _hash(*parts: bytes) -> bytes:
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8) + part)
    return made.digest()
