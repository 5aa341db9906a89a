"""How do we call others over HTTP? Within bounds: time, size, no redirects, and never an address of our own network.

The name is resolved once, every address of it is judged, and the connection goes to the address that was judged: a name
that resolves to something else the second time gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import httpx
import msgspec

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import Refused, Unavailable
from services.runtime.settings import Settings

CALL_S: Final = 5.0
BODY_MAX_BYTES: Final = 1_048_576
# Errors before the first byte of a request: no name, no connection.
NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    socket.gaierror,
)
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# All that IANA gives out of IPv6 for the public internet; what else the library takes for global (site-local addresses,
# IPv4 in other clothes) is not. Python's own tables differ by version.
PUBLIC_6: Final = ipaddress.ip_network("2000::/3")
NOT_PUBLIC_4: Final = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
# Nothing was written: a header holds what no header may. Their words would repeat it, and it may be a secret.
UNWRITTEN: Final = (httpx.LocalProtocolError, UnicodeEncodeError)
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))


class Reply(msgspec.Struct, frozen=True):
    """An answer of any status. Names of headers are in lower case; `retry_after_s` is what `retry_after` reads in them."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after_s: float | None = None


Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


def networks_of(settings: Settings) -> Networks:
    """The networks of our own that may be called: `LEAD_ROUTER_OUTGOING_NETWORKS`."""
    return [ipaddress.ip_network(one.strip()) for one in settings.outgoing_networks.split(",") if one.strip()]


async def judged(host: str, port: int, *, ours: Networks, local: bool = False, ours_only: bool = False) -> str:
    """The first address of a name, once every address of it has been judged: connect to that and to nothing else.

    Args:
        local: This machine itself may be called.
        ours_only: Only `ours`, not the public internet: for calls that nobody encrypts.

    Raises:
        Refused: `address_refused`.
        OSError: The name has no address.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        msg = f"{host} is no name of a host: a part of it is empty, or longer than 63 characters"
        raise Refused(msg, code="address_refused") from error
    addresses = [str(one[4][0]) for one in found]
    for address in addresses:
        ip = ipaddress.ip_address(address)
        if any(ip in network for network in ours):
            continue
        if ours_only:
            msg = f"{host} is called by https only"
            raise Refused(msg, code="address_refused")
        ip = _inner(ip)
        if _public(ip) or (local and ip.is_loopback):
            continue
        msg = f"{host} is {address}, an address that is not of the public internet"
        raise Refused(msg, code="address_refused")
    return addresses[0]


async def dial(settings: Settings, host: str, port: int, *, call_s: float = CALL_S) -> socket.socket:
    """A connected socket to a far side that does not speak HTTP, judged and pinned as `Outgoing` does.

    Raises:
        Unavailable: It cannot be reached now.
        Refused: `address_refused`.
    """
    try:
        async with asyncio.timeout(call_s):
            address = await judged(host, port, ours=networks_of(settings))
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            reached = socket.socket(family, socket.SOCK_STREAM)
            reached.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(reached, (address, port))
            except BaseException:
                reached.close()
                raise
            return reached
    except (OSError, TimeoutError) as error:
        msg = f"{host} does not answer: {str(error) or type(error).__name__}"
        raise Unavailable(msg, code="far_side_away", detail="not_sent") from error


class Outgoing:
    """Calls to one far side.

    Args:
        base_url: As the operator set it. In the local environment it may be this machine itself, by that name.
        by_operator: False for an address that came over the API: then only `LEAD_ROUTER_OUTGOING_NETWORKS` opens more
            than the public internet.
        clock: For a Retry-After that names a moment.

    Raises:
        Refused: `address_refused`: the URL is none.
    """

    def __init__(
        self,
        settings: Settings,
        base_url: str,
        *,
        call_s: float = CALL_S,
        by_operator: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL:
            self._base = httpx.URL()
        if not self._base.host:
            msg = "the address is no URL; write it as https://host/path"
            raise Refused(msg, code="address_refused")
        self._call_s = call_s
        self._local = by_operator and settings.environment == "local" and self._base.host in _LOOPBACK
        self._ours = networks_of(settings)
        self._http = httpx.AsyncClient(
            timeout=call_s,
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment would resolve names by itself
            limits=httpx.Limits(max_connections=10),
        )

    async def get(self, path: str, headers: Mapping[str, str]) -> Reply:
        """Ask for one path of the far side; raises as `call` does."""
        return await self.call("GET", path, headers)

    async def call(
        self,
        method: Literal["GET", "POST", "PATCH", "PUT"],
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Reply:
        """Send one request to the far side.

        Args:
            path: Behind the base, from its slash on; empty: the base to the letter, a slash at its end included.

        Raises:
            Unavailable: No whole answer in time. Its `detail` is `not_sent` when the far side cannot have seen the
                request; `timeout` or `torn` when it may have.
            Refused: `address_refused`, `answer_too_large`.
        """
        url = httpx.URL(f"{str(self._base).rstrip('/')}{path}") if path else self._base
        host = url.netloc.decode()
        try:
            async with asyncio.timeout(self._call_s):
                address = await self._address(url)
                request = self._http.build_request(
                    method,
                    url.copy_with(host=address),
                    content=body,
                    headers={**headers, "host": host},
                    extensions={"sni_hostname": url.host},  # the certificate is checked against the name
                )
                answer = await self._http.send(request, stream=True)
                try:
                    told = await self._read(answer, url)
                finally:
                    await answer.aclose()
        except UNWRITTEN:
            msg = f"{url.host} was not called: a secret or an address holds characters that no header takes"
            raise Unavailable(msg, code="far_side_away", detail="not_sent") from None
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            msg = f"{url.host} does not answer: {str(error) or type(error).__name__}"
            late = isinstance(error, TimeoutError | httpx.TimeoutException)
            seen = "not_sent" if isinstance(error, NOT_SENT) else "timeout" if late else "torn"
            raise Unavailable(msg, code="far_side_away", detail=seen) from error
        said = {k.lower(): v for k, v in answer.headers.items()}
        return Reply(answer.status_code, said, told, retry_after(said, self._clock.now()))

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def _address(self, url: httpx.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        plain = url.scheme == "http"
        if url.scheme not in ("http", "https") or (plain and not self._local and not self._ours):
            msg = f"{url.host} is called by https only"
            raise Refused(msg, code="address_refused")
        return await judged(url.host, port, ours=self._ours, local=self._local, ours_only=plain and not self._local)

    @staticmethod
    async def _read(answer: httpx.Response, url: httpx.URL) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > BODY_MAX_BYTES:
                msg = f"the answer of {url.host} is larger than {BODY_MAX_BYTES} bytes"
                raise Refused(msg, code="answer_too_large")
        return bytes(body)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks us to wait, from 0; None when it says nothing that can be read.

    Args:
        headers: Names in lower case. A moment is read by the clock of who wrote it, `Date`, where that is told.
    """
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        until = _moment(text)
        if until is None:
            return None
        seconds = (until - (_moment(headers.get("date", "")) or now)).total_seconds()
    return max(0.0, seconds) if seconds == seconds else None  # noqa: PLR0124 not a number


def _moment(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if not ip.is_global or ip.is_multicast:
        return False
    return ip in PUBLIC_6 if ip.version == 6 else not any(ip in network for network in NOT_PUBLIC_4)


def _inner(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that a translating IPv6 address leads to; else the address itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip
