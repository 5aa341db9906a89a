"""A notice as an e-mail and as a CRM's job: what is written, what is left out, when there is nothing to do."""

from datetime import timedelta
from email.message import EmailMessage

import msgspec
import pytest
from selectolax.lexbor import LexborHTMLParser

from schemas.messages import LeadRef
from services.directory.core.people import Rep
from services.notify.core.crm import BODY_MAX, DUE_IN, OWNER_WHEN, job, marker, names_of, rich
from services.notify.core.desk import desk
from services.notify.core.ending import claimed
from services.notify.core.mail import DIGEST_LINES, Letter, Sender, digest, letter, message, spelled
from services.notify.core.notice import Notice, ShownAccount, ShownAssignment, ShownLead, ShownSay, ShownWhat
from tests.unit.notify.messages import NOW, told

ANNA = Rep(id="anna", name="Anna Aalto", email="anna@aurora.example")
LEAD = ShownLead(id="l1", email="vera@nordwind.example", name="Vera Virta", title="VP Operations")
ACCOUNT = ShownAccount(domain="nordwind.example", name="Nordwind Oyj")
SENDER = Sender(address="router@aurora.example")


def made(**more) -> Notice:
    fields = {
        "id": "n1", "rep": "anna", "kind": "handover", "lead": LEAD, "account": ACCOUNT, "created_at": NOW, "updated_at": NOW,
        "why": "Looked at prices.", "assignment": ShownAssignment(id="o1", gen=1, state="offered"),
    }  # fmt: skip
    return Notice(**{**fields, **more})


def asked(notice, *, rep=ANNA, change=False, set_owner="accept", task=""):
    return job(notice, rep, order_id="ord-1", change=change, set_owner=set_owner, task=task, lead_url="")


def sent(written: Letter, **more) -> tuple[EmailMessage, str, LexborHTMLParser]:
    fields = {"sender": SENDER, "to": ("Anna", "anna@aurora.example"), "order_id": "ord-1", "thread": None, "now": NOW}
    mail = message(written, **{**fields, **more})
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return mail, plain.get_content(), LexborHTMLParser(html.get_content())


def test_a_letter_of_lines_only_has_no_empty_list_quote_or_button():
    _, plain, html = sent(Letter(subject="S", lines=["One.", "Two."]))
    assert plain == "One.\n\nTwo.\n"
    assert [p.text() for p in html.css("p")] == ["One.", "Two."]
    assert not html.css("ul, blockquote, a")


def test_both_forms_of_a_whole_letter_say_the_same():
    notice = made(
        what=[ShownWhat(signal="page.viewed", at=NOW, url="https://a.example/pricing"), ShownWhat(signal="x", at=NOW)],
        say=ShownSay(subject="Hi", body="Hello\nVera"),
    )
    written = letter(notice, inbox_url="https://lr.example/inbox", lead_url="https://lr.example/lead", again=True)
    _, plain, html = sent(written)
    assert [li.text() for li in html.css("li")] == ["looked at /pricing", "x"]
    assert "* looked at /pricing\n* x\n" in plain
    assert html.css_first("blockquote").html.count("<br>") == 3
    assert "> Hi\n> \n> Hello\n> Vera" in plain
    assert [(a.text(), a.attributes["href"]) for a in html.css("a")] == list(written.links)
    assert "Open the lead: https://lr.example/lead\n\nOpen the inbox: https://lr.example/inbox" in plain
    for line in ("This may have been sent before.", "Since 2026-11-24 09:00 UTC."):
        assert line in plain
        assert line in html.text()


def test_words_of_a_lead_are_neither_markup_nor_a_header():
    evil = ShownLead(id="l1", email="v@x.example", name='<img src=x>\r\nBcc: all@x.example"')
    mail, _, html = sent(letter(made(lead=evil, why="<script>1</script>"), inbox_url="", lead_url=""))
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("New lead for you: <img src=x> Bcc: all@x.example")
    assert not html.css("img, script")
    assert "<script>1</script>" in html.text()


def test_what_is_over_says_so_and_offers_no_words():
    said = letter(made(state="claimed", say=ShownSay(subject="", body="Hello")), inbox_url="", lead_url="")
    assert said.lines[0] == "This is over."
    assert said.quoted == ""
    told = letter(made(state="recalled", note="Ben has it."), inbox_url="", lead_url="", note="From your manager")
    assert told.lines[:2] == ["From your manager", "Ben has it."]


def test_headers_thread_the_mails_of_a_lead_and_name_each_once():
    mail, _, _ = sent(Letter(subject="S", lines=["x"]), thread="l1", unsubscribe_url="https://lr.example/u")
    assert mail["Message-ID"] == "<ord-1@aurora.example>"
    assert mail["In-Reply-To"] == mail["References"] == "<lead.l1@aurora.example>"
    assert mail["List-Unsubscribe"] == "<https://lr.example/u>"
    assert mail["Auto-Submitted"] == "auto-generated"
    alone, _, _ = sent(Letter(subject="S", lines=["x"]))
    assert (alone["References"], alone["List-Unsubscribe"]) == (None, None)


@pytest.mark.parametrize("none", ["no address", "(@x", "a@", "@x", "a@[1", "a@b@c", "<a@b", "a..b@c", "a@b\x01"])
def test_what_is_no_address_is_refused_in_one_way(none):
    with pytest.raises(ValueError):
        sent(Letter(subject="S", lines=[]), to=("Anna", none))


def test_a_domain_with_letters_of_its_own_is_written_as_servers_know_it():
    sender = Sender(address=spelled("liidit@ääni.example"))
    mail, _, _ = sent(Letter(subject="S", lines=["x"]), sender=sender, to=("Anna", "anna@jätkä.example"))
    assert mail["To"].addresses[0].addr_spec == "anna@xn--jtk-qlac.example"
    for name in ("From", "Message-ID"):
        assert mail[name].isascii()
    with pytest.raises(ValueError):
        spelled("anna@ä..example")


@pytest.mark.parametrize(
    ("timezone", "words"),
    [
        ("Europe/Helsinki", "Since 2026-11-24 11:00 EET."),
        ("America/New_York", "Since 2026-11-24 04:00 EST."),
        ("Mars/Olympus", "Since 2026-11-24 09:00 UTC."),
    ],
)
def test_a_letter_tells_the_readers_own_time(timezone, words):
    written = letter(made(), inbox_url="", lead_url="", timezone=timezone)
    assert written.small == [words]


@pytest.mark.parametrize(
    ("timezone", "day"), [("Europe/Helsinki", 25), ("America/Los_Angeles", 24), ("UTC", 24), ("Mars/Olympus", 24)]
)
def test_a_task_is_due_on_the_reps_own_day(timezone, day):
    rep = msgspec.structs.replace(ANNA, timezone=timezone)
    late = made(created_at=NOW.replace(hour=21, minute=30))
    due = asked(late, rep=rep).due_on
    assert (due.month, due.day) == (11, day)


def test_a_digest_lists_the_newest_and_says_how_many_came_before():
    items = [made(id=str(n), why=f"Nr {n}.") for n in range(DIGEST_LINES + 2)]
    written = digest(items, inbox_url="")
    assert written.subject == "52 notices while you were not to be disturbed"
    assert written.lines == ["… and 2 before these"]
    assert (len(written.did), written.links) == (DIGEST_LINES, [])
    assert written.did[0].endswith("Nr 2.")
    assert written.did[-1].endswith("Nr 51.")
    assert digest(items[:1], inbox_url="https://lr.example/inbox").lines == []


@pytest.mark.parametrize("set_owner", OWNER_WHEN)
def test_a_new_notice_makes_a_task_and_an_owner_only_when_offers_do(set_owner):
    found = asked(made(), set_owner=set_owner)
    assert found is not None
    assert (found.task, found.own, found.finish) == (True, set_owner == "offer", "")
    assert (found.email, found.rep_email, found.company) == (LEAD.email, ANNA.email, "Nordwind Oyj")
    assert found.due_at == NOW + DUE_IN == NOW + timedelta(hours=1)


def test_an_offer_that_was_answered_or_over_before_it_was_told():
    offer = ShownAssignment(id="o1", gen=1, state="accepted")
    found = asked(made(assignment=offer), set_owner="accept")
    assert found is not None
    assert (found.task, found.own) == (True, True)
    desks = {"anna": desk("anna", 0, None, None, NOW)}
    desks["anna"].notices["n1"] = made(leads=["l1"])
    claimed(desks, told("claimed", LeadRef(id="l1"), by="anna"), NOW)
    claim = asked(desks["anna"].notices["n1"], set_owner="accept", change=True)
    assert claim is not None
    assert (claim.own, claim.finish) == (True, "")
    assert asked(made(state="recalled"), set_owner="offer") is None


def test_a_field_that_shows_html_shows_the_text():
    assert rich('a <b>&"c"\nd') == 'a &lt;b&gt;&amp;"c"<br>d'


@pytest.mark.parametrize("nobody", [None, ""])
def test_without_an_address_there_is_nobody_to_do_it_for(nobody):
    assert asked(made(lead=msgspec.structs.replace(LEAD, email=nobody)), set_owner="offer") is None
    assert asked(made(), rep=msgspec.structs.replace(ANNA, email=nobody), set_owner="offer") is None


@pytest.mark.parametrize(
    ("state", "assignment", "set_owner", "task", "does"),
    [
        ("new", "accepted", "accept", "t9", (True, "")),  # accepted: theirs now, and the task goes on
        ("new", "accepted", "never", "t9", None),
        ("new", "accepted", "offer", "t9", None),  # was done with the offer
        ("joined", "offered", "accept", "t9", None),  # news of an offer that nobody has answered
        ("claimed", "accepted", "accept", "t9", (True, "")),  # as the rep's own acceptance makes it
        ("claimed", "accepted", "offer", "t9", None),
        ("claimed", "closed", "accept", "t9", (False, "t9")),  # somebody else has taken the lead
        ("expired", "accepted", "accept", "t9", None),  # won or lost: no owner any more, nothing to undo
        ("recalled", "offered", "accept", "t9", (False, "t9")),
        ("recalled", None, "accept", "t9", (False, "t9")),
        ("recalled", "offered", "accept", "", None),  # there never was a task
    ],
)
def test_a_change_does_what_it_changes_or_nothing(state, assignment, set_owner, task, does):
    offer = ShownAssignment(id="o1", gen=1, state=assignment) if assignment else None
    found = asked(made(state=state, assignment=offer), change=True, set_owner=set_owner, task=task)
    assert (found and (found.own, found.finish)) == does
    assert found is None or not found.task


def test_a_task_is_found_again_by_its_text_however_long():
    found = asked(made(why="w" * 2 * BODY_MAX, say=ShownSay(subject="", body="Hello")))
    assert found is not None
    assert found.body == "w" * BODY_MAX + f"\n\n[{marker('ord-1')}]"
    short = asked(
        made(
            account=None,
            what=[ShownWhat(signal="email.clicked", at=NOW, url="https://a.example/x")],
            say=ShownSay(subject="", body="Hello"),
        )
    )
    assert short is not None
    assert short.body == "Looked at prices.\n\n- clicked /x\n\nWhat to say:\nHello\n\n[lead-router ord-1]"
    assert short.company == ""


@pytest.mark.parametrize(
    ("name", "first_last"),
    [
        ("Vera Virta", ("Vera", "Virta")),
        (" Vera von der Virta ", ("Vera", "von der Virta")),
        ("Vera", ("", "Vera")),
        (" ", ("", "Unknown")),
    ],
)
def test_a_crm_gets_a_last_name_whatever_is_known(name, first_last):
    assert names_of(name) == first_last
