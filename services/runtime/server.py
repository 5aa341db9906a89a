"""The HTTP server inside our own event loop: says plainly when the port is taken, never waits for slow clients."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.runtime.errors import Misconfigured

# Head of a request: method, path, headers. uvicorn itself would wait for ever.
HEAD_TIMEOUT_S = 15.0
KEEP_ALIVE_S = 75
BACKLOG = 2048
CONNECTIONS_MAX = 20_000
NOT_OURS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class _Protocol(HttpToolsProtocol):
    """Closes a connection whose request head does not come in time, and those beyond the limit."""

    _head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    @override
    def on_message_begin(self) -> None:
        self._await_head()
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_came()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        # A request that is still being answered on this connection is not disturbed by a slow pipelined one.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handling: `services/cli` stops us, in its order."""

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """Serves `app` on `host:port`.

    Args:
        port: 0 takes a free one; see `.port` after the start.
        trusted_proxies: Comma list of addresses or networks whose `X-Forwarded-*` headers count; empty: nobody's.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, *, trusted_proxies: str = "") -> None:
        self._app = app
        self._host = host
        self.port = port
        self._config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=[part.strip() for part in trusted_proxies.split(",") if part.strip()],
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=BACKLOG,
        )
        self._server = _Uvicorn(self._config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and return once we do.

        Raises:
            Misconfigured: The port is taken, or the host is not ours.
        """
        sockets = await self._bind()
        self.port = sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=sockets), name="http server")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                msg = f"the HTTP server on {self._host}:{self.port} ended at its start"
                raise Misconfigured(msg)
            await asyncio.sleep(0.01)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more connections, tell streams to end, wait `grace_s` for answers under way, cut the rest."""
        if self._task is None:
            return
        stopping: Any = getattr(getattr(self._app, "state", None), "stopping", None)
        if isinstance(stopping, asyncio.Event):
            stopping.set()
        # uvicorn counts whole seconds; ours is the outer limit.
        self._config.timeout_graceful_shutdown = max(1, int(grace_s))
        self._server.should_exit = True
        task, self._task = self._task, None
        _, late = await asyncio.wait([task], timeout=grace_s + 1)
        if late:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _bind(self) -> list[socket.socket]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            msg = f"LEAD_ROUTER_HOST={self._host} is not an address of this machine: {error}"
            raise Misconfigured(msg) from error
        sockets: list[socket.socket] = []
        foreign: OSError | None = None
        # `::` alone takes IPv4 too, as people expect of "everywhere"; a name of both gets a socket for each.
        both = len({one[0] for one in found}) > 1
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sockets.append(_listening(family, kind, protocol, address, v6_only=both))
            except OSError as error:
                if error.errno in NOT_OURS:
                    foreign = error  # such as ::1 for localhost where IPv6 is switched off: the others may do
                    continue
                for other in sockets:
                    other.close()
                raise Misconfigured(_why(self._host, self.port, error)) from error
        if not sockets:
            raise Misconfigured(_why(self._host, self.port, foreign or OSError("no address"))) from foreign
        return sockets


def _listening(family: int, kind: int, protocol: int, address: Any, *, v6_only: bool) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6_only))
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program; set LEAD_ROUTER_PORT to a free one (LEAD_ROUTER_PORT=8001 make run)"
    if error.errno == errno.EACCES:
        return f"port {port} is not ours to take (below 1024 needs root); set LEAD_ROUTER_PORT to 1024 or more"
    if error.errno in NOT_OURS:
        return f"LEAD_ROUTER_HOST={host} is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are"
    return f"cannot listen on {host}:{port}: {error}"
