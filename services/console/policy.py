"""What may a page of ours do in a browser? Everything of our own, nothing of anybody else's."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No inline script or style anywhere; text becomes HTML in one place only (the policy `fragments` of fragments.js).
PAGE_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types fragments",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class PagePolicy:
    """Pure ASGI: adds the headers to every answer of `app`, unless the answer has its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                there = {name.lower() for name, _ in headers}
                message = {**message, "headers": headers + [pair for pair in PAGE_HEADERS if pair[0] not in there]}
            await send(message)

        await self._app(scope, receive, sender)
