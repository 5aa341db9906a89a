"""What comes of a dead letter of ingest, read again? Its bytes are the item; its key says whose it was.

Pure but for the policy's spellings: the log puts the messages back (`eventlog/deadletter.py`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

import msgspec

from schemas.codec import Message, encode
from schemas.topics import TRACKING_EVENTS
from services.ingest.core.identity import partition_key
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, Seen, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import BadBody, Limits
from services.ingest.sources.registry import PLATFORMS
from services.runtime.errors import BadMessage, Unavailable

# The topic of our dead letters: they never were in the log, they came as requests.
REQUESTS: Final = "requests"


class _Policy(Protocol):
    @property
    def version(self) -> int: ...
    @property
    def spellings(self) -> Mapping[str, str]: ...


class Policies(Protocol):
    """What ingest needs of the policy: the company's own names of events."""

    @property
    def active(self) -> _Policy:
        """The rules that hold now; raises `Unavailable` when there are none yet."""
        ...


class Spelling:
    """The speller of the policy in force; ours alone while there is none."""

    def __init__(self, policies: Policies | None) -> None:
        self._policies = policies
        self._version = -1
        self._speller = Speller()

    def speller(self) -> Speller:
        """Names to signals, as they are meant now."""
        if self._policies is None:
            return self._speller
        try:
            policy = self._policies.active
        except Unavailable:
            return self._speller
        if policy.version != self._version:
            self._version, self._speller = policy.version, Speller(policy.spellings)
        return self._speller

    def names(self) -> Mapping[str, str]:
        """The company's own names of events; empty while there is no policy."""
        try:
            return self._policies.active.spellings if self._policies is not None else {}
        except Unavailable:
            return {}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a dead letter: all that is needed to read its bytes again."""

    source: str
    platform: str
    publishable: bool
    received_at: datetime
    ip: str | None = None


def message_of(seen: Seen, facts: Facts, speller: Speller) -> tuple[Message, str]:
    """The message of one event, and its signal.

    Raises:
        BadItem: The event can never be used.
    """
    event = to_event(seen, facts, speller)
    key = partition_key(event.data.ids)
    return Message(topic=TRACKING_EVENTS.name, key=key, value=encode(event)), event.data.signal


class Remaker:
    """Dead letters to messages, with the parsers and the spellings of today."""

    def __init__(self, limits: Limits, spelling: Spelling) -> None:
        self._limits = limits
        self._spelling = spelling

    def __call__(self, key: bytes | None, value: bytes | None) -> list[Message]:
        """The messages of a dead letter.

        Raises:
            BadMessage: It still cannot be used; the code says why.
        """
        origin = _origin_of(key)
        platform = PLATFORMS.get(origin.platform)
        if platform is None:
            msg = f"this version does not know the platform {origin.platform} of the dead letter"
            raise BadMessage(msg, code="unknown_platform")
        facts = Facts(
            source=f"/sources/{origin.source}",
            trust="publishable" if origin.publishable else "secret",
            received_at=origin.received_at,
            peer=origin.ip,
        )
        try:
            parsed = platform.parse_item(value or b"", self._limits)
            for bad in parsed.rejected:
                raise BadMessage(bad.message, code=bad.code)
            return [message_of(seen, facts, self._spelling.speller())[0] for _, seen in parsed.seen]
        except (BadBody, BadItem) as error:
            raise BadMessage(error.message, code=error.code) from error


def _origin_of(key: bytes | None) -> Origin:
    try:
        return msgspec.json.decode(key or b"", type=Origin)
    except msgspec.DecodeError as error:
        msg = "this dead letter does not say which source it came from"
        raise BadMessage(msg, code="no_origin") from error
