"""What does a notice look like as an e-mail? Plain text and HTML that say the same, threaded per lead, without a pixel.

Text of leads is hostile: headers are flattened to one line, HTML is escaped, and nothing of a lead's becomes a link.

Source: RFC 5322 (3.6.4 Message-ID, In-Reply-To, References), RFC 3834 (Auto-Submitted), RFC 8058 and 2369
(List-Unsubscribe).
"""

from collections.abc import Sequence
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from html import escape
from typing import Final

import msgspec

from services.notify.core.notice import Notice
from services.notify.core.words import DID, company_of, flat, heading_of, label_of, moment, path_of, who_of

SUBJECT_MAX: Final = 150
WHAT_LINES: Final = 8
DIGEST_LINES: Final = 50
_STYLE: Final = "font-family:system-ui,sans-serif;font-size:15px;line-height:1.45;max-width:38em"
_BUTTON: Final = "background:#1f5fbf;color:#fff;padding:.5em 1em;border-radius:.4em;text-decoration:none"


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes. `address` as `name@host`; `host` stands in message ids."""

    address: str
    name: str = "Lead Router"

    @property
    def host(self) -> str:
        """The part behind the @."""
        return self.address.rpartition("@")[2]


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is written, before it has a form. `lines`: paragraphs; `quoted`: words to use, as they are."""

    subject: str
    lines: Sequence[str]
    did: Sequence[str] = ()
    quoted: str = ""
    small: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()


def letter(
    notice: Notice, *, inbox_url: str, lead_url: str, note: str = "", again: bool = False, timezone: str = "UTC"
) -> Letter:
    """The letter about one notice, with times as the reader in `timezone` knows them."""
    company = company_of(notice.account)
    facts = ", ".join(one for one in (notice.lead.title or "", company, notice.lead.email or "") if one)
    ended = (notice.note or "This is over.") if not notice.open else ""
    did = []
    for one in notice.what[-WHAT_LINES:]:
        words = DID.get(one.signal, one.signal)
        did.append(flat(f"{words} {path_of(one.url)}" if one.url else words, 300))
    say = notice.say if notice.open else None
    return Letter(
        subject=heading_of(notice),
        lines=[flat(line, 1000) for line in (note, ended, facts, notice.why) if line],
        did=did,
        quoted=(f"{say.subject}\n\n{say.body}" if say.subject else say.body)[:4000] if say is not None else "",
        small=[
            f"Since {moment(notice.created_at, timezone)}.",
            *(["This may have been sent before."] if again else []),
        ],
        links=[pair for pair in (("Open the lead", lead_url), ("Open the inbox", inbox_url)) if pair[1]],
    )


def digest(items: Sequence[Notice], *, inbox_url: str) -> Letter:
    """What was held back, together, newest last."""
    more = len(items) - DIGEST_LINES
    return Letter(
        subject=f"{len(items)} notices while you were not to be disturbed",
        lines=[f"… and {more} before these"] if more > 0 else [],
        did=[flat(f"{label_of(n.kind)}: {who_of(n.lead, n.account)}. {n.why}", 400) for n in items[-DIGEST_LINES:]],
        links=[("Open the inbox", inbox_url)] if inbox_url else [],
    )


def message(
    written: Letter,
    *,
    sender: Sender,
    to: tuple[str, str],
    order_id: str,
    thread: str | None,
    now: datetime,
    unsubscribe_url: str = "",
) -> EmailMessage:
    """The letter as a message.

    Args:
        to: Name and address of the rep.
        order_id: Names the message: sent twice, it has the same Message-ID, and mailboxes show it once.
        thread: Messages with the same one stand together; None: alone.
        unsubscribe_url: Where a digest can be switched off.

    Raises:
        ValueError: An address is none.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = addressed(sender.name, sender.address)
    mail["To"] = addressed(*to)
    mail["Subject"] = flat(written.subject, SUBJECT_MAX)
    mail["Date"] = now
    mail["Message-ID"] = f"<{order_id}@{sender.host}>"
    if thread is not None:
        root = f"<lead.{thread}@{sender.host}>"
        mail["In-Reply-To"] = root
        mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{unsubscribe_url}>"
    mail.set_content(_plain(written))
    mail.add_alternative(_html(written), subtype="html")
    return mail


def addressed(name: str, address: str) -> Address:
    """Somebody as a header names them.

    Raises:
        ValueError: The address is none.
    """
    try:
        return Address(flat(name, 100), addr_spec=spelled(address))
    except (MessageError, LookupError, AttributeError) as error:
        # The parser stumbles over some of what it should refuse.
        msg = "this is no e-mail address"
        raise ValueError(msg) from error


def spelled(address: str) -> str:
    """The address with its domain as mail servers know it: `anna@xn--jtk-qlac.fi` for `anna@jätkä.fi`.

    Raises:
        ValueError: The domain is none.
    """
    local_part, at, domain = address.rpartition("@")
    return f"{local_part}{at}{domain if domain.isascii() else domain.encode('idna').decode()}"


def _plain(written: Letter) -> str:
    parts = list(written.lines)
    if written.did:
        parts.append("\n".join(f"* {line}" for line in written.did))
    if written.quoted:
        parts.append("What to say:\n" + "\n".join(f"> {line}" for line in written.quoted.splitlines()))
    parts += [f"{title}: {url}" for title, url in written.links]
    parts += written.small
    return "\n\n".join(parts) + "\n"


def _html(written: Letter) -> str:
    parts = [f"<p>{escape(line)}</p>" for line in written.lines]
    if written.did:
        parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in written.did) + "</ul>")
    if written.quoted:
        said = "<br>".join(escape(line) for line in written.quoted.splitlines())
        parts.append(f'<p><b>What to say</b></p><blockquote style="margin:0 0 1em 1em">{said}</blockquote>')
    links = "&nbsp; ".join(
        f'<a href="{escape(url)}" style="{_BUTTON}">{escape(title)}</a>' for title, url in written.links
    )
    if links:
        parts.append(f"<p>{links}</p>")
    parts += [f'<p style="color:#666;font-size:13px">{escape(line)}</p>' for line in written.small]
    return f'<!doctype html><html><body><div style="{_STYLE}">{"".join(parts)}</div></body></html>'
