"""An offer and its reminders: one card with everything, and one thing in the count."""

import msgspec

from services.console.views.inbox import card, cards
from services.console.views.reminders import each_once, first_told, reminds, whole
from services.notify.api.desk import Listed
from services.notify.core.notice import ShownSay
from tests.unit.console.test_view import NOW, client, notices
from tests.unit.notify.messages import handover, offer, told, viewed

WORDS = "Anna Aalto has not answered for 15 working minutes"


def reminded(**more):
    """The first notice of an offer, and its reminder."""
    first, reminder = notices(
        handover(what=[viewed()]), told("due", assignment=offer(), recipients=["anna"], why=WORDS)
    )
    assert (first.kind, reminder.kind) == ("handover", "due")
    return first, msgspec.structs.replace(reminder, **more)


def test_a_reminder_says_what_the_first_notice_said():
    first, reminder = reminded(say=ShownSay(subject="General", body="A general message"))
    [found] = cards([Listed(reminder, True), Listed(first, True)], NOW, {}, {}, "Europe/Helsinki")
    assert (found.id, found.answerable, found.badge) == (reminder.id, True, "waiting for you")
    assert (found.why, found.subject, found.did[0].where) == (first.why, "Hello", "/pricing")
    # Not "Anna has not answered", which Anna would read of herself.
    assert found.note == "Waits for your answer since Tue 24 Nov, 11:00."
    # The first notice may stand beside, without a card of its own.
    [same] = cards([Listed(reminder, True)], NOW, {}, {}, "Europe/Helsinki", beside=[Listed(first, True)])
    assert same == found
    [alone] = cards([Listed(reminder, True)], NOW, {}, {}, "UTC")
    assert (alone.why, alone.subject) == (WORDS, "General")


def test_the_reps_own_words_stay_with_the_reminder():
    first, reminder = reminded(say=ShownSay(subject="Mine", body="My words", edited=True))
    said = whole(reminder, first_told([Listed(first, True)]), "UTC").say
    assert said is not None
    assert said.subject == "Mine"


def test_an_accepted_reminder_keeps_what_to_say():
    first, reminder = reminded()
    mine = msgspec.structs.replace(reminder, state="claimed", by="anna", seq=reminder.seq + 2)
    both = [Listed(mine, False), Listed(msgspec.structs.replace(first, state="claimed", by="anna"), False)]
    [found] = cards(both, NOW, {}, {}, "UTC")
    assert (found.id, found.tone, found.note, found.subject) == (mine.id, "mine", "You have accepted it.", "Hello")


def test_what_is_to_do_for_an_accepted_lead_reminds_of_no_offer():
    first, step = reminded(assignment=msgspec.structs.replace(reminded()[1].assignment, state="accepted"))
    assert not reminds(step)
    assert whole(step, first_told([Listed(first, False)]), "UTC") is step
    done = [Listed(msgspec.structs.replace(step, id=f"s{n}", seq=n), False) for n in (7, 8)]
    assert each_once(done) == done
    assert card(Listed(step, True), NOW).answerable is False


async def test_an_offer_and_its_reminder_count_once():
    first, reminder = reminded()
    async with client([first, reminder], token="anna") as http:
        page = await http.get("/inbox")
        assert page.text.count("<article") == 1
        assert '<span class="count" id="count">1</span>' in page.text
        assert "(1) Inbox" in page.text
        news = (await http.get(f"/inbox/news?after={first.seq}")).text
        assert 'data-open="1"' in news
        assert "Named account, identified." in news
        assert WORDS not in news
