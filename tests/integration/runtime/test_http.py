"""HTTP on a real port: one shape of errors, limits of size and time, HEAD and OPTIONS, stop while streaming."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.runtime import guard
from services.runtime import server as server_module
from services.runtime.db import Database
from services.runtime.errors import BadMessage, Conflict, Fenced, Misconfigured, Refused, Unavailable
from services.runtime.http import ApiError, Server, make_app


class Thing(BaseModel):
    model_config = ConfigDict(strict=True)
    n: int


ERRORS = {
    "bad": BadMessage("no such signal", code="bad_signal"),
    "away": Unavailable("the log is away", retry_after_s=2.4),
    "taken": Refused("ben has it", code="already_taken", detail={"by": "ben"}),
    "forbidden": Refused("not yours", code="forbidden"),
    "missing": Refused("no such lead", code="not_found"),
    "moved": Conflict("changed meanwhile"),
    "fenced": Fenced("not ours", parts=(1,)),
    "api": ApiError(418, "teapot", "short and stout", {"spout": 1}, headers={"X-Tea": "yes"}),
    "bug": ZeroDivisionError("a secret detail"),
}


def build(db: Database | None = None) -> object:
    router = APIRouter(prefix="/v1")

    @router.get("/things")
    async def things(limit: Annotated[int, Query(ge=1, le=10)] = 1) -> dict[str, int]:
        return {"limit": limit}

    @router.post("/things")
    async def make(thing: Thing) -> dict[str, int]:
        return {"n": thing.n}

    @router.get("/fails/{which}")
    async def fails(which: str) -> None:
        raise ERRORS[which]

    @router.get("/ask")
    async def ask(n: str) -> None:
        assert db is not None
        async with db.begin() as connection:
            await connection.execute(sa.text("SELECT CAST(:n AS text) || repeat('', 1)"), {"n": n})

    @router.get("/ask-number")
    async def ask_number(n: int) -> None:
        assert db is not None
        async with db.raw() as pg:
            await pg.fetchval("SELECT $1::int4", n)

    @router.get("/slow-query")
    async def slow_query() -> None:
        assert db is not None
        async with db.raw() as pg:
            await pg.execute("SET statement_timeout = 50")
            await pg.execute("SELECT pg_sleep(5)")

    async def hot(request: Request) -> Response:
        return JSONResponse({"bytes": len(await request.body())})

    async def stream(request: Request) -> Response:
        async def beats() -> AsyncIterator[bytes]:
            yield b"event: hello\n\n"
            await request.app.state.stopping.wait()
            yield b"event: bye\n\n"

        return StreamingResponse(beats(), media_type="text/event-stream")

    async def deaf(_request: Request) -> Response:
        async def beats() -> AsyncIterator[bytes]:
            while True:
                yield b": beat\n\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(beats(), media_type="text/event-stream")

    async def never(_request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    return make_app(
        [
            Route("/never", never, methods=["POST"]),
            Route("/hot", hot, methods=["POST"]),
            Route("/big", hot, methods=["POST"]),
            Route("/stream", stream),
            Route("/deaf", deaf),
        ],
        [router],
        body_max_bytes=1000,
        body_limits={"/big": 5000},
    )


@pytest.fixture
async def served() -> AsyncIterator[Server]:
    server = Server(build(), "127.0.0.1", 0)
    await server.start()
    yield server
    await server.stop(1)


@pytest.fixture
async def http(served: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", timeout=10) as client:
        yield client


@pytest.mark.parametrize(
    ("which", "status", "code"),
    [
        ("bad", 400, "bad_signal"),
        ("away", 429, "unavailable"),
        ("taken", 409, "already_taken"),
        ("forbidden", 403, "forbidden"),
        ("missing", 404, "not_found"),
        ("moved", 409, "conflict"),
        ("fenced", 429, "fenced"),
        ("api", 418, "teapot"),
        ("bug", 500, "internal"),
    ],
)
async def test_every_error_of_ours_has_one_shape(http: httpx.AsyncClient, which: str, status: int, code: str) -> None:
    answer = await http.get(f"/v1/fails/{which}")
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "detail"}
    assert answer.json()["code"] == code
    assert "a secret detail" not in answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    if status == 429:
        assert answer.headers["retry-after"] == ("3" if which == "away" else "1")
    if which == "taken":
        assert answer.json()["detail"] == {"by": "ben"}
    if which == "api":
        assert answer.headers["x-tea"] == "yes"
    if which == "bug":
        assert answer.headers["x-request-id"] in answer.json()["message"]


async def test_errors_of_the_framework_have_it_too(http: httpx.AsyncClient) -> None:
    cases = [
        (await http.get("/nowhere"), 404, "not_found"),
        (await http.get("/v1/things/"), 404, "not_found"),
        (await http.delete("/v1/things"), 405, "method_not_allowed"),
        (await http.get("/hot"), 405, "method_not_allowed"),
        (await http.post("/v1/things", json={"n": "one"}), 422, "invalid"),
        (await http.post("/v1/things", json={"n": False}), 422, "invalid"),
        (await http.post("/v1/things", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid"),
        (await http.get("/v1/things?limit=99"), 422, "invalid"),
        (await http.get("/v1/things?limit=%00"), 400, "bad_request"),
        (await http.get("/v1/fails/%00"), 400, "bad_request"),
        (await http.post("/hot", content=b"x" * 1001), 413, "too_large"),
        (await http.post("/v1/things", content=b"x" * 1001), 413, "too_large"),
    ]
    for answer, status, code in cases:
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert set(answer.json()) == {"code", "message", "detail"}
    assert cases[2][0].headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert cases[4][0].json()["message"].startswith("body.n: ")
    assert "one" not in json.dumps(cases[4][0].json())  # what was sent is not repeated


async def test_the_body_limit_counts_what_comes_not_what_is_said(http: httpx.AsyncClient) -> None:
    async def chunks(n: int) -> AsyncIterator[bytes]:
        for _ in range(n):
            yield b"x" * 100

    assert (await http.post("/hot", content=chunks(10))).json() == {"bytes": 1000}
    late = await http.post("/hot", content=chunks(11))
    assert (late.status_code, late.json()["code"]) == (413, "too_large")
    assert (await http.post("/big", content=chunks(50))).json() == {"bytes": 5000}
    assert (await http.post("/big", content=chunks(51))).status_code == 413


async def test_head_and_options_are_answered(http: httpx.AsyncClient) -> None:
    head = await http.head("/v1/things")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len((await http.get("/v1/things")).content))
    assert (await http.head("/nowhere")).status_code == 404
    assert (await http.head("/stream")).headers["content-type"].startswith("text/event-stream")
    assert (await http.head("/hot")).status_code == 405
    options = await http.options("/v1/things")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    assert (await http.options("/hot")).headers["allow"] == "POST, OPTIONS"
    assert (await http.options("/nowhere")).status_code == 404


async def test_answers_carry_security_headers_and_an_id(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/things", headers={"X-Request-ID": "from-our-proxy-1"})
    assert answer.headers["x-request-id"] == "from-our-proxy-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers
    assert (await http.get("/v1/things", headers={"X-Request-ID": "<script>"})).headers["x-request-id"] != "<script>"


async def test_the_api_describes_itself_without_a_cdn(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()
    assert "/v1/things" in described["paths"]
    assert "ErrorBody" in described["components"]["schemas"]
    assert (await http.get("/docs")).status_code == 404


@pytest.mark.parametrize("ours", ["127.0.0.1", "[::1]"])
async def test_everywhere_is_both_families(ours: str) -> None:
    server = Server(build(), "::", 0)
    await server.start()
    try:
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://{ours}:{server.port}/nothing")).status_code == 404
    finally:
        await server.stop(1)


async def test_an_address_that_is_not_ours_keeps_no_other_from_being_listened_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolved(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (one, 0)) for one in ("192.0.2.1", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    server = Server(build(), "leads.internal", 0)
    await server.start()
    await server.stop(1)


async def test_a_taken_port_is_said_plainly(served: Server) -> None:
    with pytest.raises(Misconfigured, match=f"port {served.port} is taken.*LEAD_ROUTER_PORT"):
        await Server(build(), "127.0.0.1", served.port).start()
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_HOST"):
        await Server(build(), "192.0.2.1", 0).start()


async def test_stop_lets_streams_end_by_themselves(served: Server) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", timeout=10) as client:
        async with client.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: hello"
            stopping = asyncio.create_task(served.stop(5))
            assert "event: bye" in [line async for line in lines]
        await asyncio.wait_for(stopping, 3)
        with pytest.raises(httpx.ConnectError):
            await client.get("/v1/things")
    await served.stop()


async def test_stop_cuts_streams_that_do_not_listen(served: Server) -> None:
    url = f"http://127.0.0.1:{served.port}/deaf"
    async with httpx.AsyncClient(timeout=10) as client, client.stream("GET", url) as answer:
        await anext(answer.aiter_lines())
        began = asyncio.get_running_loop().time()
        await served.stop(1)
        assert asyncio.get_running_loop().time() - began < 3


async def test_stop_tells_those_who_wait_to_come_again(served: Server) -> None:
    """uvicorn's own answer to a request that it cuts is a 500, after which senders of webhooks drop their events."""
    async with httpx.AsyncClient(timeout=10) as client:
        asked = asyncio.create_task(client.post(f"http://127.0.0.1:{served.port}/never"))
        await asyncio.sleep(0.2)
        await served.stop(1)
        answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (429, "stopping")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["connection"] == "close"


async def read_all(sock: socket.socket, within_s: float) -> bytes:
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(within_s):
        while more := await loop.sock_recv(sock, 65536):
            got += more
    return got


async def raw(port: int, sent: bytes) -> socket.socket:
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, sent)
    return sock


async def test_a_head_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 0.3)
    server = Server(build(), "127.0.0.1", 0)
    await server.start()
    with await raw(server.port, b"") as silent, await raw(server.port, b"GET /hot HTTP/1.1\r\nX: ") as slow:
        assert await read_all(silent, 3) == b""
        assert await read_all(slow, 3) == b""
    # The next request on a kept connection is measured anew; a stream under way is left alone.
    with await raw(server.port, b"GET /v1/things HTTP/1.1\r\nHost: h\r\n\r\n") as kept:
        assert (await asyncio.get_running_loop().sock_recv(kept, 65536)).startswith(b"HTTP/1.1 200")
        await asyncio.get_running_loop().sock_sendall(kept, b"GET /v1/th")
        assert await read_all(kept, 3) == b""
    with await raw(server.port, b"GET /deaf HTTP/1.1\r\nHost: h\r\n\r\n") as streaming:
        await asyncio.sleep(0.6)
        with pytest.raises(TimeoutError):
            await read_all(streaming, 0.3)
    await server.stop(1)


async def test_a_body_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.3)
    app = build()
    for middleware in app.user_middleware:  # type: ignore[attr-defined]  # a FastAPI app
        middleware.kwargs["body_timeout_s"] = 0.3
    server = Server(app, "127.0.0.1", 0)
    await server.start()
    with await raw(server.port, b"POST /hot HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc") as slow:
        answer = await read_all(slow, 3)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"request_timeout"' in answer
    await server.stop(1)


async def test_forwarded_addresses_count_from_trusted_proxies_only() -> None:
    seen: list[str] = []

    async def who(request: Request) -> Response:
        seen.append(request.client.host if request.client else "")
        return Response()

    for trusted in ("", "127.0.0.1"):
        server = Server(make_app([Route("/who", who)], []), "127.0.0.1", 0, trusted_proxies=trusted)
        await server.start()
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{server.port}/who"
            await client.get(url, headers={"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"})
        await server.stop(1)
    assert seen == ["127.0.0.1", "198.51.100.7"]


async def test_what_the_database_says_about_a_value_is_the_callers_error(database: Database) -> None:
    transport = httpx.ASGITransport(build(database))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.get("/v1/ask", params={"n": "fine"})).status_code == 200
        big = await client.get("/v1/ask-number", params={"n": 2**40})
        assert (big.status_code, big.json()["code"]) == (400, "bad_request")
        slow = await client.get("/v1/slow-query")
        assert (slow.status_code, slow.json()["code"]) == (429, "database_busy")
        assert slow.headers["retry-after"]


async def test_a_database_that_is_away_is_429() -> None:
    db = Database("postgresql://nobody@127.0.0.1:1/none")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build(db)), base_url="http://here") as client:
        for path in ("/v1/ask?n=1", "/v1/ask-number?n=1"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (429, "database_away")
            assert answer.headers["retry-after"]
    await db.close()
