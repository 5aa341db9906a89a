"""E-mail to the rep, by the operator's own SMTP server: one conversation for each lead, digests, no pixel."""

import contextlib
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from typing import Final

import aiosmtplib
from typing_extensions import override

from services.notify.channels.far import Endpoint, FarChannel, Field, Kind, Order, Tools
from services.notify.core import mail
from services.notify.core.attempt import Outcome, Result
from services.runtime.errors import LeadRouterError, Unavailable

SECURITY: Final = ("starttls", "tls", "none")
PORTS: Final[dict[str, int]] = {"starttls": 587, "tls": 465, "none": 25}
CALL_S: Final = 15.0
# Answers about this installation's login or server, not about the letter: they are mended by an operator.
OURS: Final = frozenset((421, 454, 530, 534, 535, 538))


class EmailChannel(FarChannel):
    """One SMTP server."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        options, secrets = endpoint.options, endpoint.secrets
        self._tools = tools
        self._host = options["host"]
        self._security = options.get("security") or "starttls"
        self._port = int(options.get("port") or PORTS[self._security])
        self._login = (secrets.get("username", ""), secrets.get("password", ""))
        # Made once: to read all the authorities takes tens of milliseconds.
        self._tls = None if self._security == "none" else ssl.create_default_context()
        self._sender = mail.Sender(
            address=mail.spelled(options["from"]), name=options.get("from_name") or "Lead Router"
        )

    @override
    def prepare(self, order: Order, now: datetime) -> EmailMessage | None:
        if not order.rep.email:
            return None
        links, notice = self._tools.links, order.notice
        if order.items:
            written = mail.digest(order.items, inbox_url=links.inbox())
        else:
            written = mail.letter(
                notice,
                inbox_url=links.inbox(),
                lead_url=links.lead(notice.lead.id),
                note=order.note,
                again=order.maybe_sent,
                timezone=order.rep.timezone,
            )
        try:
            return mail.message(
                written,
                sender=self._sender,
                to=(order.rep.name, order.rep.email),
                order_id=order.id,
                thread=None if order.items else notice.lead.id,
                now=now,
                unsubscribe_url=f"{links.base}/me" if order.items and links.base else "",
            )
        except ValueError:
            return None

    @override
    async def send(self, request: EmailMessage) -> Result:
        try:
            reached = await self._tools.dial(self._host, self._port)
        except LeadRouterError as error:
            outcome: Outcome = "failed" if isinstance(error, Unavailable) else "refused"
            return Result(outcome=outcome, detail=error.message[:200])
        smtp = aiosmtplib.SMTP(
            hostname=self._host,
            sock=reached,
            timeout=CALL_S,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._tls,
            # Not this machine's name: it is nobody's business.
            local_hostname=self._sender.host,
        )
        sent = False
        try:
            await smtp.connect()
            if self._login[0]:
                await smtp.login(*self._login)
            sent = True
            await smtp.send_message(request)
            # The server has the letter: how we part changes nothing.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit()
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(max((one.code for one in error.recipients), default=550))
        except aiosmtplib.SMTPSenderRefused as error:
            # Whoever writes may not: no other letter will do better until an operator has mended that.
            return Result(outcome="failed", detail=f"SMTP {error.code}: the address that writes")
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error.code)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            late = isinstance(error, TimeoutError | aiosmtplib.SMTPTimeoutError)
            return Result(outcome="overloaded" if late else "failed", detail=type(error).__name__, uncertain=sent)
        finally:
            smtp.close()
        return Result(outcome="ok")

    @override
    async def close(self) -> None:
        """Each letter has its own connection: nothing stays open."""


def _refused(code: int) -> Result:
    """4yz is for now, 5yz for good (RFC 5321, 4.2.1), unless it is about our login."""
    detail = f"SMTP {code}"
    if code in OURS:
        return Result(outcome="failed", detail=f"{detail}: login or server")
    return Result(outcome="failed" if 400 <= code < 500 else "refused", detail=detail)


def _check(options: Mapping[str, str], secrets: Mapping[str, str]) -> str | None:
    security, port = options.get("security") or "starttls", options.get("port") or "25"
    if security not in SECURITY:
        return f"security: one of {', '.join(SECURITY)}"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return "port: a number from 1 to 65535"
    try:
        mail.addressed("", options.get("from", ""))
    except ValueError:
        return "from: an address such as leads@yourcompany.example"
    if bool(secrets.get("username")) != bool(secrets.get("password")):
        return "username and password belong together"
    if secrets.get("password") and security == "none":
        return "security: a password is not sent without TLS; use starttls or tls"
    return None


KIND: Final = Kind(
    name="email",
    title="E-mail (SMTP)",
    fields=(
        Field("host", "name of the SMTP server", max_chars=255),
        Field("port", "587 for starttls, 465 for tls, 25 for none when not given", required=False, max_chars=5),
        Field("security", "starttls (default), tls or none", required=False, max_chars=8),
        Field("from", "the address that writes", max_chars=254),
        Field("from_name", "the name beside it", required=False, max_chars=100),
        Field("username", "of the SMTP login, if it wants one", secret=True, required=False),
        Field("password", "of the SMTP login", secret=True, required=False),
    ),
    open=EmailChannel,
    kinds=("handover", "due", "you_missed"),
    concurrency=2,
    per_s=5.0,
    check=_check,
)
