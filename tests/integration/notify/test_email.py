"""E-mail through a real SMTP server: threads, digests, hostile names, answers for now and for good."""

import asyncio
import contextlib
import email
import email.policy
from datetime import timedelta

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from services.notify.channels.email import KIND
from services.notify.core.preference import Preferences
from services.notify.handler.delivering import tools_of
from services.notify.store import preferences
from services.runtime.clock import FixedClock
from services.runtime.errors import BadMessage
from services.runtime.settings import Settings
from tests.integration.notify.far import NOW, Rig, notice, put

HOSTILE = 'Vera\r\nBcc: all@evil.example\r\n\r\n<img src="https://evil.example/p.gif">\u2028<script>'


class Mailbox:
    """What the server took; `say` is what it answers next."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.say: list[str] = []
        self.rcpt: list[str] = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt:
            return self.rcpt.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.say:
            return self.say.pop(0)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return "250 OK"


@contextlib.asynccontextmanager
async def serving(box: Mailbox, **more):
    """A real SMTP server in front of the box, on a port of its own."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, hostname="mail.aurora.example", enable_SMTPUTF8=True, **more), "127.0.0.1", 0
    )
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def mailbox():
    async with serving(Mailbox()) as box:
        yield box


async def server(rig: Rig, box: Mailbox, **more) -> str:
    values = {"host": "127.0.0.1", "port": str(box.port), "security": "none", "from": "leads@aurora.example"}
    return await rig.add("email", **{**values, **more})


def parts(mail) -> tuple[str, str]:
    return mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()


async def test_a_letter_says_all_and_hides_nothing(rig: Rig, clock: FixedClock, mailbox: Mailbox) -> None:
    await server(rig, mailbox, from_name="Aurora Leads")
    one = notice(clock)
    await put(rig.db, one)
    await rig.work()
    (mail,) = mailbox.mails
    assert mailbox.envelopes == [("leads@aurora.example", ["anna@aurora.example"])]
    assert mail["From"] == "Aurora Leads <leads@aurora.example>"
    assert mail["To"] == "Anna Aalto <anna@aurora.example>"
    assert mail["Subject"] == "New lead for you: Vera Virta, Nordwind Industries Oyj"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["References"] == mail["In-Reply-To"] == f"<lead.{one.lead.id}@aurora.example>"
    assert mail["List-Unsubscribe"] is None
    plain, html = parts(mail)
    for text in (plain, html):
        for words in ("Named account, identified.", "looked at /pricing", "Hi Vera", "VP Operations"):
            assert words in text
        assert f"https://leads.aurora.example/leads/{one.lead.id}" in text
        assert "2026-11-24 11:00 EET" in text
    assert "<img" not in html
    assert "src=" not in html


async def test_a_hostile_name_changes_no_header_and_no_page(rig: Rig, clock: FixedClock, mailbox: Mailbox) -> None:
    await server(rig, mailbox)
    one = notice(clock)
    one.lead.name = HOSTILE
    one.why = HOSTILE
    one.say.subject, one.say.body = HOSTILE, HOSTILE
    await put(rig.db, one)
    await rig.work()
    (mail,) = mailbox.mails
    assert mailbox.envelopes[0][1] == ["anna@aurora.example"]
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    _, html = parts(mail)
    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html


async def test_one_conversation_a_lead_and_finnish_names(rig: Rig, clock: FixedClock, mailbox: Mailbox) -> None:
    await server(rig, mailbox)
    first = notice(clock)
    first.lead.name = "Äijä Öhman-Åström"
    second = notice(clock, kind="due", lead=first.lead, leads=[first.lead.id])
    await put(rig.db, first, second)
    await rig.work()
    assert {m["References"] for m in mailbox.mails} == {f"<lead.{first.lead.id}@aurora.example>"}
    assert len({m["Message-ID"] for m in mailbox.mails}) == 2
    assert all("Äijä Öhman-Åström" in m["Subject"] for m in mailbox.mails)


async def test_quiet_hours_end_in_a_digest_with_a_way_out(rig: Rig, clock: FixedClock, mailbox: Mailbox) -> None:
    await server(rig, mailbox)
    await preferences.save(rig.db, "anna", Preferences(paused_until=NOW + timedelta(hours=1)), NOW, "test")
    await put(rig.db, notice(clock), notice(clock))
    await rig.work()
    assert mailbox.mails == []
    clock.at = NOW + timedelta(hours=1, seconds=1)
    await rig.work()
    (mail,) = mailbox.mails
    assert mail["Subject"] == "2 notices while you were not to be disturbed"
    assert mail["List-Unsubscribe"] == "<https://leads.aurora.example/me>"
    assert mail["References"] is None


async def test_for_now_is_tried_again_with_the_same_id_and_for_good_is_not(
    rig: Rig, clock: FixedClock, mailbox: Mailbox
) -> None:
    await server(rig, mailbox)
    mailbox.say = ["451 4.3.0 try later"]
    await put(rig.db, notice(clock))
    await rig.work()
    assert mailbox.mails == []
    (row,) = await rig.rows()
    assert (row["state"], row["attempts"]) == ("due", 1)
    clock.at += timedelta(minutes=1)
    await rig.work()
    (mail,) = mailbox.mails
    assert mail["Message-ID"] == f"<{row['id']}@aurora.example>"

    mailbox.rcpt = ["550 5.1.1 no such user"]
    await put(rig.db, notice(clock))
    await rig.work()
    gave_up = await rig.rows("state = 'gave_up'")
    assert [(r["reason"], r["attempts"]) for r in gave_up] == [("refused", 1)]
    assert len(mailbox.mails) == 1


async def test_a_server_that_leaves_without_a_word_has_the_letter(rig: Rig, clock: FixedClock) -> None:
    class Box(Mailbox):
        async def handle_QUIT(self, server, session, envelope):
            server.transport.abort()
            return "221 Bye"

    async with serving(Box()) as box:
        await server(rig, box)
        await put(rig.db, notice(clock))
        await rig.work()
        assert [r["state"] for r in await rig.rows()] == ["delivered"]
        assert len(box.mails) == 1


async def test_a_trial_says_when_there_is_nobody_to_send_it_to(rig: Rig, mailbox: Mailbox) -> None:
    endpoint = await server(rig, mailbox)
    said = [await rig.endpoints.test(endpoint, email) for email in (None, "(@x", "anna@aurora.example")]
    assert [one.outcome for one in said] == ["refused", "refused", "ok"]
    assert "nothing was sent" in said[0].detail
    assert len(mailbox.mails) == 1


async def test_a_server_that_is_away_gets_everything_once_it_is_back(
    rig: Rig, clock: FixedClock, mailbox: Mailbox
) -> None:
    endpoint = await server(rig, mailbox, port="1")
    await put(rig.db, notice(clock), notice(clock))
    for _ in range(3):
        await rig.work()
        clock.at += timedelta(minutes=20)
    assert mailbox.mails == []
    async with rig.db.raw() as pg:
        await pg.execute(
            "UPDATE notify.endpoint SET options = (options::jsonb || jsonb_build_object('port', $2::text))::json,"
            " version = version + 1 WHERE id = $1",
            endpoint,
            str(mailbox.port),
        )
    await rig.work()
    clock.at += timedelta(minutes=20)
    await rig.work()
    assert len(mailbox.mails) == 2
    assert len({m["Message-ID"] for m in mailbox.mails}) == 2


async def test_a_wrong_login_waits_for_an_operator(rig: Rig, clock: FixedClock) -> None:
    class Box(Mailbox):
        def __init__(self) -> None:
            super().__init__()
            self.right = b"wrong"

    box = Box()

    def check(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=data.password == box.right, handled=False)

    async with serving(box, authenticator=check, auth_require_tls=False):
        endpoint = await server(rig, box)
        # Over TLS only, says the API; this test's server has none.
        await rig.store.rotate(endpoint, {"username": "u", "password": "right"}, None, clock.now())
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["reason"]) == ("due", "failed")
        box.right = b"right"
        clock.at += timedelta(minutes=1)
        await rig.work()
        assert len(box.mails) == 1


async def test_a_server_that_refuses_who_writes_waits_for_an_operator(rig: Rig, clock: FixedClock) -> None:
    class Box(Mailbox):
        async def handle_MAIL(self, server, session, envelope, address, options):
            if address != "leads@aurora.example":
                return "553 5.7.1 not your address"
            envelope.mail_from = address
            return "250 OK"

    async with serving(Box()) as box:
        await server(rig, box, **{"from": "liidit@ääni.example"})
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["reason"], row["detail"]) == ("due", "failed", "SMTP 553: the address that writes")
        async with rig.db.raw() as pg:
            await pg.execute(
                "UPDATE notify.endpoint SET version = version + 1,"
                " options = (options::jsonb || jsonb_build_object('from', 'leads@aurora.example'))::json"
            )
        clock.at += timedelta(minutes=1)
        await rig.work()
        assert len(box.mails) == 1


async def test_a_private_address_is_refused(rig: Rig, clock: FixedClock, mailbox: Mailbox, monkeypatch) -> None:
    monkeypatch.setattr(rig.deliverer, "_tools", tools_of(Settings()))
    await server(rig, mailbox)
    await put(rig.db, notice(clock))
    await rig.work()
    (row,) = await rig.rows()
    assert (row["state"], row["reason"]) == ("gave_up", "refused")
    assert mailbox.mails == []


async def test_a_rep_without_an_address_is_skipped(rig: Rig, clock: FixedClock, mailbox: Mailbox) -> None:
    await server(rig, mailbox)
    rig.people["anna"] = msgspec.structs.replace(rig.people["anna"], email=None)
    await put(rig.db, notice(clock))
    await rig.work()
    (row,) = await rig.rows()
    assert (row["state"], row["reason"]) == ("skipped", "nothing_to_send")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"security": "ssl"}, "security"),
        ({"port": "99999"}, "port"),
        ({"port": "x"}, "port"),
        ({"from": "nobody"}, "from"),
        ({"from": "a b@c.example"}, "from"),
        ({"from": "a@[1"}, "from"),
        ({"username": "u"}, "belong together"),
        ({"username": "u", "password": "p"}, "without TLS"),
    ],
)
async def test_what_does_not_fit_is_said(rig: Rig, mailbox: Mailbox, more: dict, words: str) -> None:
    with pytest.raises(BadMessage, match=words):
        await server(rig, mailbox, **more)
    assert KIND.check({"from": "a@b.example"}, {"username": "u", "password": "p"}) is None
