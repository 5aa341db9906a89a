"""Messages of Slack and Teams: within their limits, and nothing that a lead brings is more than text."""

import json
import re
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.core import card, slack
from services.notify.core.notice import Notice, ShownAccount, ShownAssignment, ShownLead, ShownSay, ShownWhat
from tests.unit.notify.messages import NOW

HOSTILE = [
    "<!channel>",
    "<!here|x>",
    "<@U123>",
    "<https://evil.example|Your bank>",
    "&lt;!channel&gt;",
    "a\n> quoted\n*New lead*",
    "\u2028<!everyone>\u202e",
    "[click](https://evil.example)",
    "<at>all</at>",
    "& < >" * 2000,
    "",
]
ours = re.compile(r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|[\d: UTC-]+>")


def made(text="Vera Virta", **more) -> Notice:
    notice = Notice(
        id="n1",
        rep="anna",
        kind="handover",
        lead=ShownLead(id="l1", email=text, name=text, title=text),
        account=ShownAccount(domain="nordwind.example", name=text),
        what=[
            ShownWhat(signal=text or "page.viewed", at=NOW, url=f"https://x.example/{text}", who=text) for _ in range(9)
        ],
        why=text,
        say=ShownSay(subject=text, body=f"{text}\n{text}\n\n{text}"),
        assignment=ShownAssignment(id="o1", gen=1, state="offered"),
        created_at=NOW,
        updated_at=NOW,
    )
    return msgspec.structs.replace(notice, **more)


def message(notice: Notice, **more):
    return slack.message(
        notice,
        **{
            "inbox_url": "https://leads.example/inbox",
            "lead_url": "https://leads.example/leads/l1",
            "buttons": True,
            **more,
        },
    )


def texts(blocks) -> list[str]:
    return [b["text"]["text"] for b in blocks if "text" in b] + [
        e["text"] for b in blocks for e in b.get("elements", ()) if e["type"] == "mrkdwn"
    ]


def held_to_limits(told) -> None:
    blocks = told["blocks"]
    for place in [b["text"] for b in blocks if "text" in b] + [e for b in blocks for e in b.get("elements", ())]:
        assert place["type"] != "mrkdwn" or place["verbatim"] is True
    assert 0 < len(blocks) <= 50
    assert len(json.dumps(blocks, ensure_ascii=False).encode()) <= slack.BLOCKS_MAX
    for text in texts(blocks):
        assert 0 < len(text) <= slack.SECTION_MAX
    for block in blocks:
        for element in block.get("elements", ()):
            assert len(element.get("value", "")) <= slack.VALUE_MAX
            assert block["type"] != "actions" or len(element["text"]["text"]) <= 75


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("state", ["new", "claimed"])
def test_no_mention_and_no_link_of_a_lead(text, state):
    notice = made(text, state=state, note=text)
    for told in (message(notice, note=text, again=True), slack.digest([notice] * 30, inbox_url="")):
        held_to_limits(told)
        for one in [told["text"], *texts(told["blocks"])]:
            assert not re.search("[<>]", re.sub(r"(?m)^> ", "", ours.sub("", one)))
            assert "&" not in re.sub(r"&(amp|lt|gt);", "", one)


@given(st.text(alphabet=st.sampled_from("<>&ab \n;"), max_size=60), st.integers(1, 30))
def test_law_escaped_text_fits_and_reads_back(text, limit):
    safe = slack.escaped(text, limit)
    assert len(safe) <= limit
    assert not set("<>") & set(safe)
    flat = " ".join(text.split())
    read = safe.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert read == flat or (read.endswith("…") and flat.startswith(read[:-1]))


def test_buttons_carry_the_offer_and_come_only_while_it_stands():
    actions = next(b for b in message(made())["blocks"] if b["type"] == "actions")["elements"]
    assert [a["action_id"] for a in actions] == ["lr_accept", "lr_decline", "lr_snooze", "lr_open"]
    assert slack.pressed(actions[0]["value"]) == slack.Pressed(notice="n1", lead="l1", offer="o1", gen=1, rep="anna")
    accepted = made(assignment=ShownAssignment(id="o1", gen=1, state="accepted"))
    for notice, more in ((made(), {"buttons": False}), (accepted, {}), (made(assignment=None), {})):
        shown = next(b for b in message(notice, **more)["blocks"] if b["type"] == "actions")["elements"]
        assert [a["action_id"] for a in shown] == ["lr_open"]
    assert all(b["type"] != "actions" for b in message(made(), buttons=False, inbox_url="", lead_url="")["blocks"])
    too_long = made(assignment=ShownAssignment(id="o" * 3000, gen=1, state="offered"))
    assert len(next(b for b in message(too_long)["blocks"] if b["type"] == "actions")["elements"]) == 1


def test_what_a_button_asks_for():
    assert [slack.command_of(a) for a in ("lr_accept", "lr_decline", "lr_snooze", "lr_open")] == [
        "accept",
        "decline",
        "snooze",
        None,
    ]
    assert slack.pressed("{}") is None
    assert slack.pressed("nothing") is None


def test_words_of_an_end_and_of_little_knowledge():
    assert "Withdrawn." in message(made(state="recalled"))["text"]
    assert "Over." in message(made(state="expired"))["text"]
    bare = made(account=None, what=[], say=None, why="", lead=ShownLead(id="l1"))
    told = message(bare)
    assert told["text"].startswith("New lead for you: Somebody")
    plain = made(what=[ShownWhat(signal="demo.requested", at=NOW)])
    assert "asked for a demo" in json.dumps(message(plain)["blocks"])


def test_a_message_that_is_too_long_loses_its_longest_part():
    notice = made("x" * 900, what=[ShownWhat(signal="y" * 300, at=NOW) for _ in range(5)])
    notice.say = ShownSay(subject="", body="\n".join("<" * 400 for _ in range(10)))
    notice.account = ShownAccount(domain="&" * 253, name="ä" * 5000)
    held_to_limits(message(notice, note="&" * 600))
    held_to_limits(slack.digest([made("€" * 900)] * 25, inbox_url=""))
    only = [{"type": "header", "text": {"text": "x"}}, {"type": "divider", "x": "y" * 13_000}, {"type": "divider"}]
    assert slack._bounded(list(only)) == only


def test_a_digest_says_how_many_there_are():
    told = slack.digest([made()] * 25, inbox_url="https://leads.example/inbox")
    assert told["text"].startswith("25 notices")
    assert "5 before these" in json.dumps(told["blocks"], ensure_ascii=False)
    for few in (slack.digest([made()] * 2, inbox_url=""), card.digest([made()] * 2, inbox_url="")):
        assert "before these" not in json.dumps(few)
    assert told["blocks"][-1]["elements"][0]["url"] == "https://leads.example/inbox"


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 100_000])
@pytest.mark.parametrize("state", ["new", "recalled"])
def test_a_card_is_plain_text_and_small(text, state):
    notice = made(text, state=state, note=text or None, created_at=NOW - timedelta(hours=1))
    one = card.message(notice, inbox_url="https://l.example/inbox", lead_url="", note=text, again=True)
    many = card.digest([notice] * 60, inbox_url="https://l.example/inbox")
    for made_card in (one, many):
        assert len(msgspec.json.encode(made_card)) < 28_000
        content = made_card["attachments"][0]["content"]
        assert {b["type"] for b in content["body"]} == {"RichTextBlock"}
        assert {a["type"] for a in content["actions"]} == {"Action.OpenUrl"}


def test_a_card_of_little_knowledge_and_one_far_too_large():
    bare = made(account=None, what=[ShownWhat(signal="odd", at=NOW)], say=None, why="", lead=ShownLead(id="l1"))
    content = card.message(bare, inbox_url="", lead_url="")["attachments"][0]["content"]
    assert content["actions"] == []
    assert content["body"][0]["inlines"][0]["text"] == "New lead for you: Somebody"
    wide = made("\U0001f600" * 900)
    assert len(msgspec.json.encode(card.digest([wide] * 60, inbox_url=""))) < 28_000
    assert len(card._wrapped([{"a": "x" * 40_000}], [])["attachments"][0]["content"]["body"]) == 1
    assert len(card._wrapped([{"a": "x" * 40_000}, {"b": 1}], [])["attachments"][0]["content"]["body"]) == 1
