"""The doors for events: Segment's and RudderStack's paths, `/events`, and a hook for every source."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.ingest.api.bodies import header_key, inflate, read_body
from services.ingest.api.tokens import UsedTokens
from services.ingest.core.addresses import Networks, client_ip
from services.ingest.handler import metrics
from services.ingest.handler.receive import SUCCESS, Answer, Receiver, away, problem
from services.ingest.sources import cloudevents, posthog, segment, snowplow, standardwebhooks
from services.ingest.sources.base import Arrival, BadBody, Parsed, Platform, clean_body, nothing_to_verify
from services.ingest.sources.registry import PLATFORMS
from services.ingest.store import Source, SourceCache
from services.runtime.clock import Clock
from services.runtime.errors import LeadRouterError
from services.runtime.settings import Settings

# Path to what its bodies are. The short ones are those of browser libraries.
ANALYTICS: Final[Mapping[str, str]] = {
    "/v1/batch": "batch", "/v1/b": "batch", "/v1/import": "import", "/beacon/v1/batch": "batch",
    "/v1/track": "track", "/v1/t": "track", "/v1/identify": "identify", "/v1/i": "identify",
    "/v1/page": "page", "/v1/p": "page", "/v1/screen": "screen", "/v1/s": "screen",
    "/v1/group": "group", "/v1/g": "group", "/v1/alias": "alias", "/v1/a": "alias", "/v1/merge": "merge",
}  # fmt: skip
# RudderStack's pixels: the call stands in the address.
PIXELS: Final[Mapping[str, str]] = {"/pixel/v1/track": "track", "/pixel/v1/page": "page"}
# Browsers may call from any page, without cookies: the write key is all there is.
CORS: Final = {"access-control-allow-origin": "*"}
PREFLIGHT: Final = {
    **CORS,
    "access-control-allow-methods": "POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, content-encoding, anonymousid, sentat, x-retry-count",
    "access-control-max-age": "86400",
}
_JSON: Final = "application/json"
Reply = tuple[bytes, str]  # body and its type
Endpoint = Callable[[Request], Awaitable[Response]]


class Doors:
    """Reads requests, finds out whose they are, and hands them to the receiver."""

    def __init__(
        self,
        receiver: Receiver,
        sources: SourceCache,
        tokens: UsedTokens,
        *,
        settings: Settings,
        clock: Clock,
        trusted: Networks,
    ) -> None:
        self._receiver = receiver
        self._sources = sources
        self._settings = settings
        self._clock = clock
        self._trusted = trusted
        self._tokens = tokens

    def routes(self) -> Sequence[BaseRoute]:
        """Every door, the busiest first."""
        made: list[BaseRoute] = [
            Route(path, self._answering(path, self._analytics(kind)), methods=["POST", "OPTIONS", "HEAD"])
            for path, kind in ANALYTICS.items()
        ]
        made += self._protocols()
        made.append(Route("/events", self._answering("/events", self._events), methods=["POST", "OPTIONS", "HEAD"]))
        hooks = self._answering("/hooks", self._hook)
        made.append(Route("/hooks/{source_id}", hooks, methods=["POST", "OPTIONS", "HEAD", "GET"]))
        return made

    # -- the three kinds of doors

    def _analytics(self, kind: str) -> Callable[[Request], Awaitable[Answer]]:
        return self._keyed(kind, PLATFORMS["segment"], lambda arrival: segment.body_key(arrival.body))

    def _protocols(self) -> Sequence[BaseRoute]:
        """Other clients' own paths: RudderStack's pixels, PostHog and Snowplow."""
        made: list[BaseRoute] = []
        methods = ["POST", "OPTIONS", "HEAD", "GET"]
        for path, kind in PIXELS.items():
            work = self._keyed(kind, segment.PLATFORM, lambda _: None, snowplow.answer(snowplow.PIXEL_PATH))
            made.append(Route(path, self._answering(path, work), methods=["GET"]))
        for path in posthog.PATHS:
            told = posthog.answer if path == posthog.RESULTS_PATH else None
            work = self._keyed(path, posthog.PLATFORM, posthog.key_of, told)
            made += [Route(one, self._answering(path, work), methods=methods) for one in (path, _twin(path))]
        for path in snowplow.PATHS:
            work = self._keyed(path, snowplow.PLATFORM, snowplow.key_of, snowplow.answer(path))
            made.append(Route(path, self._answering(path, work, credentials=True), methods=methods))
        return made

    def _keyed(
        self,
        kind: str,
        platform: Platform,
        key_of: Callable[[Arrival], str | None],
        told: Callable[[Parsed], Reply] | None = None,
    ) -> Callable[[Request], Awaitable[Answer]]:
        """A door whose clients name their source by a key: in a header, the query, or the body."""

        def answered(parsed: Parsed) -> Answer:
            body, content_type = told(parsed) if told is not None else (SUCCESS, _JSON)
            return Answer(body=body, content_type=content_type)

        async def answer(request: Request) -> Answer:
            arrival = await self._arrival(request, kind)
            key = header_key(arrival.headers, arrival.query)
            if key is None:
                key = key_of(arrival)
            source = await self._sources.by_key(key) if key else None
            refused = _refused(source, "the write key")
            if source is None or refused is not None:
                return refused or _UNKNOWN
            return await self._receiver.receive(
                arrival, source, platform, peer=self._peer(request), told=answered if told is not None else None
            )

        return answer

    async def _events(self, request: Request) -> Answer:
        arrival = await self._arrival(request, "events")
        key = header_key(arrival.headers, arrival.query)
        hook = standardwebhooks.signed(arrival.headers)
        if key is None and hook:
            source = self._signer(arrival)
            if source is None:
                return problem(401, "bad_signature", "no source of this installation has signed this request")
        else:
            source = await self._sources.by_key(key) if key else None
            refused = _refused(source, "the write key")
            if source is None or refused is not None:
                return refused or _UNKNOWN
            if hook and source.secrets:
                wrong = standardwebhooks.verify(arrival, source.secrets)
                if wrong is not None:
                    return self._unsigned(source, wrong)
        platform = PLATFORMS["cloudevents"]
        if hook and not _is_cloudevents(arrival):
            platform = PLATFORMS["standardwebhooks"]
        return await self._receiver.receive(arrival, source, platform, peer=self._peer(request))

    async def _hook(self, request: Request) -> Answer:
        source = await self._sources.by_id(request.path_params["source_id"])
        refused = _refused(source, "the address of the hook")
        if source is None or refused is not None:
            return refused or _UNKNOWN
        platform = PLATFORMS[source.platform]
        if request.method == "GET":
            challenge = platform.challenge(request.query_params, source.id) if platform.challenge else None
            return Answer() if challenge is None else Answer(body=challenge.encode(), content_type="text/plain")
        arrival = await self._arrival(request, "hook")
        if platform.signed or (source.secrets and platform.verify is not nothing_to_verify):
            wrong = platform.verify(arrival, source.secrets) if source.secrets else "the source has no secret"
            if wrong is not None:
                return self._unsigned(source, wrong)
        token = platform.token(arrival) if platform.token is not None and source.secrets else None
        if token is not None and not await self._tokens.claim(source.id, token, arrival.raw):
            return problem(401, "replayed_signature", "this signature came before, with another event")
        return await self._receiver.receive(arrival, source, platform, peer=self._peer(request), keep_all=True)

    def _unsigned(self, source: Source, wrong: str) -> Answer:
        """Refused; whoever sets the source up sees it among its last events."""
        self._sources.count(source.id, 0, 1, ("bad_signature",))
        return problem(401, "bad_signature", wrong)

    def _signer(self, arrival: Arrival) -> Source | None:
        """The source whose secret signed the request."""
        for source in self._sources.signing("standardwebhooks"):
            if not source.disabled and standardwebhooks.verify(arrival, source.secrets) is None:
                return source
        return None

    # -- what they share

    def _answering(
        self, door: str, work: Callable[[Request], Awaitable[Answer]], *, credentials: bool = False
    ) -> Endpoint:
        """An endpoint that answers probes and preflights by itself and turns every outcome into a response.

        Args:
            credentials: The client sends cookies (ours mean nothing here): browsers then want their own origin named.
        """
        seconds = metrics.REQUEST_SECONDS.labels(door)

        async def endpoint(request: Request) -> Response:
            cors = _named_origin(request) if credentials else CORS
            if request.method == "OPTIONS":
                return _preflight(request, cors)
            if request.method == "HEAD":
                return Response(headers=cors)
            started = time.perf_counter()
            try:
                answer = await work(request)
            except BadBody as error:
                answer = problem(error.status, error.code, error.message)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except LeadRouterError as error:
                if error.code in ("too_large", "request_timeout"):
                    raise  # of the layer around us, which knows how to answer
                answer = away(error)
            seconds.observe(time.perf_counter() - started)
            headers = cors if answer.retry_after_s is None else {**cors, "retry-after": str(answer.retry_after_s)}
            if answer.status == 401:
                headers = {**headers, "www-authenticate": "Basic"}
            elif answer.status == 413:
                headers = {**headers, "connection": "close"}
            return Response(answer.body, answer.status, headers, answer.content_type)

        return endpoint

    async def _arrival(self, request: Request, kind: str) -> Arrival:
        settings = self._settings
        raw = await read_body(request, settings.body_max_bytes)
        headers = dict(request.headers.items())
        query = dict(request.query_params) if request.scope["query_string"] else {}
        try:
            body = inflate(raw, headers.get("content-encoding", ""), settings.inflated_max_bytes)
        except BadBody as error:
            if kind != "hook" or error.status == 413:
                raise
            body = raw  # whoever signed it gets 200, and the bytes become a dead letter
        return Arrival(
            kind=kind,
            method=request.method,
            url=self._url(request) if kind == "hook" else "",  # only hooks are signed with it, and it costs
            headers=headers,
            query=query,
            raw=raw,
            body=clean_body(body),
            received_at=self._clock.now(),
        )

    def _url(self, request: Request) -> str:
        """The address as the sender called it: some platforms sign it."""
        public = self._settings.public_url
        if public is None:
            return str(request.url)
        query = request.scope["query_string"].decode("latin-1")
        return public + request.url.path + (f"?{query}" if query else "")

    def _peer(self, request: Request) -> str | None:
        peer = request.client.host if request.client else None
        return client_ip(peer, request.headers.get("x-forwarded-for"), self._trusted)


def _refused(source: Source | None, what: str) -> Answer | None:
    if source is None:
        return problem(401, "unknown_key", f"{what} belongs to no source; see `lead-router source add`")
    if source.disabled:
        return problem(401, "source_disabled", f"the source {source.name!r} is disabled")
    return None


_UNKNOWN: Final = Answer(status=401)


def _is_cloudevents(arrival: Arrival) -> bool:
    content_type = arrival.headers.get("content-type", "")
    return content_type.startswith("application/cloudevents") or cloudevents.is_binary(arrival.headers)


def _twin(path: str) -> str:
    """The path with or without its last slash: clients write both."""
    return path.rstrip("/") if path.endswith("/") else f"{path}/"


def _named_origin(request: Request) -> Mapping[str, str]:
    origin = request.headers.get("origin", "")
    if not origin or len(origin) > 256 or not origin.isprintable():
        return CORS
    return {"access-control-allow-origin": origin, "access-control-allow-credentials": "true", "vary": "Origin"}


def _preflight(request: Request, cors: Mapping[str, str]) -> Response:
    """CORS for browsers, and the handshake of CloudEvents webhooks for senders that ask whether they may."""
    headers = {**PREFLIGHT, **cors}
    asked = request.headers.get("access-control-request-headers", "")
    if asked and len(asked) < 512 and asked.isprintable():
        headers["access-control-allow-headers"] = asked
    sender = request.headers.get("webhook-request-origin")
    if sender and len(sender) < 256 and sender.isprintable():
        headers["webhook-allowed-origin"] = sender
        headers["webhook-allowed-rate"] = "*"
        headers["allow"] = "POST, OPTIONS"
    return Response(status_code=200, headers=headers)
