"""The port of a channel with a far side: prepare → send → settle.

How to add a channel, `carrier` say:

1. `channels/carrier.py`: a class with `prepare`, `send` and `close`, and a `KIND` that describes it (below).
   * `prepare(order, now)` makes the request of an order, without I/O: no clock, no database. None: there is nothing to
     send (a change of a message that cannot be changed).
   * `send(request)` does the I/O, only through the `Outgoing` of `tools.connect(url)`, and answers a `Result`; `answered`
     reads an HTTP answer and `unreachable` an error of it. No transaction is open meanwhile; it must end within `SEND_S`.
   * Settling is the engine's (core/attempt.py): retries, Retry-After, giving up, disabling. `Result.receipt` is kept with
     the delivery and handed to later orders of the same notice as `order.receipt`.
   * `order.maybe_sent` says that an earlier try may have arrived although nobody said so (a time-out, a process that
     was killed). With an idempotency key (`order.id`) ignore it; else search before you create, or mark the message.
2. Add its `KIND` to `channels/kinds.py`. API, CLI, limits, retries, digests, the ladder and the ops API then know it.
3. Tests: a far side in `tests/support/farside.py` that speaks the vendor's answers; the contract tests in
   `tests/integration/notify/test_deliveries.py` show how.

Text of leads is hostile: escape it for the channel in a pure function in `core/`, with a test.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from services.directory.core.people import Rep
from services.notify.core.attempt import Result
from services.notify.core.delivery import KINDS, Purpose, Who
from services.notify.core.judge import Late
from services.notify.core.notice import Notice
from services.runtime.errors import LeadRouterError, Unavailable
from services.runtime.outgoing import Outgoing, Reply

# What reading an answer raises that has another shape than the vendor documents.
ODD: Final = (KeyError, TypeError, ValueError, IndexError, AttributeError)
# No send may take longer; a taken delivery is taken again only well after this.
SEND_S: Final = 20.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A configured far side, secrets opened. Never log it.

    Attributes:
        options: What the operator set, checked by the kind.
        secrets: By name, in the clear.
        before: The secrets before the last rotation, while both hold.
    """

    id: str
    name: str
    kind: str
    options: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    before: Mapping[str, str] = {}


class Links(msgspec.Struct, frozen=True):
    """Where people find us: the address of this installation, without a slash at the end; empty when not known."""

    base: str = ""

    def inbox(self) -> str:
        """The rep's inbox."""
        return f"{self.base}/inbox" if self.base else ""

    def lead(self, lead_id: str) -> str:
        """The lead's page."""
        return f"{self.base}/leads/{lead_id}" if self.base else ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is to be sent now, judged a moment ago.

    Attributes:
        id: Stable over all tries: the idempotency key.
        purpose: tell, change, step or digest; `test` when an operator tries the endpoint.
        rep: Whom the notice is for.
        notice: As it is shown now; of a digest the first of `items`.
        items: Of a digest: the notices, newest last.
        late: News once, "you missed" now (`notice.kind` says so too).
        note: Words to put above the message, such as that nobody has reacted yet.
        receipt: What `send` gave for the last message of this notice.
    """

    id: str
    purpose: Purpose | str
    who: Who = "rep"
    rep: Rep
    notice: Notice
    items: tuple[Notice, ...] = ()
    late: bool = False
    note: str = ""
    attempts: int = 1
    maybe_sent: bool = False
    receipt: Mapping[str, str] | None = None


class FarChannel(Protocol):
    """One endpoint, open. It lives until its endpoint changes."""

    def prepare(self, order: Order, now: datetime) -> Any | None:
        """The request of an order; None: nothing to send."""
        ...

    async def send(self, request: Any) -> Result:
        """Send it; never raises for what a far side can do."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


class Tools(msgspec.Struct, frozen=True):
    """What channels are made with. `connect` opens a bounded HTTP client for an address, `dial` a socket to host and port."""

    connect: Callable[[str], Outgoing]
    dial: Callable[[str, int], Awaitable[socket.socket]]
    links: Links = Links()


class Field(msgspec.Struct, frozen=True):
    """An option or a secret. `made`: a secret that we make when none is given."""

    name: str
    text: str
    required: bool = True
    secret: bool = False
    made: bool = False
    max_chars: int = 2000


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of channel.

    Attributes:
        feed: Endpoints of this kind get every notice that fits by default, else they are a way to reach reps.
        changes: Can tell what became of a message.
        kinds: Kinds of notices that its endpoints get unless told otherwise.
        late: What to do with news that is none any more.
        idempotent: The far side knows our id again: a try that may have arrived is simply repeated.
        concurrency: Sends at the same time, 1 to 4.
        per_s: Sends a second that the far side takes for long.
        schedule: Pauses between tries in seconds; empty: doubling up to 15 minutes.
        disable_after_s: An endpoint that has only failed for so long is disabled.
        check: Words about options and secrets that do not fit; None when they do.
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    open: Callable[[Endpoint, Tools], FarChannel]
    feed: bool = False
    changes: bool = False
    kinds: tuple[str, ...] = KINDS
    late: Late = "tell"
    idempotent: bool = False
    concurrency: int = 2
    per_s: float = 10.0
    schedule: tuple[float, ...] = ()
    disable_after_s: float = 3 * 86_400.0
    check: Callable[[Mapping[str, str], Mapping[str, str]], str | None] = lambda _options, _secrets: None


async def sent(channel: FarChannel, request: Any) -> Result:
    """What the far side says, or that it has said nothing within `SEND_S`."""
    try:
        async with asyncio.timeout(SEND_S):
            return await channel.send(request)
    except TimeoutError:
        return Result(outcome="overloaded", detail=f"no answer within {SEND_S:g} s", uncertain=True)


def answered(reply: Reply) -> Result:
    """What an HTTP answer means, where the vendor has no words of its own."""
    status = reply.status
    if 200 <= status < 300:
        return Result(outcome="ok")
    wait_s = reply.retry_after_s
    detail = f"HTTP {status}"
    if status == 429:
        return Result(outcome="overloaded", retry_after_s=wait_s, detail=detail)
    if status == 410:
        return Result(outcome="gone", detail=detail)
    if 300 <= status < 400:
        return Result(outcome="refused", detail=f"{detail}: redirects are not followed")
    # Wrong credentials are mended by a rotation: what waits goes out then.
    if status in (401, 403, 407, 408, 425) or status >= 500:
        return Result(outcome="failed", retry_after_s=wait_s, detail=detail)
    return Result(outcome="refused", detail=detail)


def unexpected(error: Exception, *, uncertain: bool) -> Result:
    """What it means when an answer has another shape than the vendor documents (`ODD`)."""
    return Result(outcome="failed", detail=f"unexpected answer ({type(error).__name__})", uncertain=uncertain)


def unreachable(error: LeadRouterError) -> Result:
    """What it means when there was no answer at all."""
    if isinstance(error, Unavailable):
        timed_out = error.detail == "timeout"
        return Result(
            outcome="overloaded" if timed_out else "failed",
            detail=error.message[:200],
            uncertain=error.detail != "not_sent",
        )
    return Result(outcome="refused", detail=error.message[:200])
