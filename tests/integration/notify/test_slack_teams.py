"""Slack and Teams against far sides that speak as they do; buttons signed and verified both ways with slack_sdk."""

import json
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
from slack_sdk.signature import SignatureVerifier

from services.notify.api.inbox import Inbox
from services.notify.api.slack import LeadAnswer, SlackActions
from services.notify.handler.endpoints import Draft, Endpoints
from services.notify.store.endpoints import EndpointStore
from services.notify.store.ledger import Ledger
from services.runtime.clock import FixedClock
from services.runtime.errors import Refused
from services.runtime.http import make_app
from services.runtime.secretbox import SecretBox
from tests.integration.notify.far import ANNA, Rig, notice, put
from tests.support import farside
from tests.support.farside import Answer, FarSide
from tests.support.workspace import Workspace

SIGNING = "8f742231b10e8888abcd99yyyzzz85a5"
HOSTILE = "<!channel> & <https://evil.example|you>\n*bold*"


def texts(blocks: list[dict]) -> str:
    return json.dumps(blocks)


async def test_a_bot_tells_a_rep_and_changes_its_message(rig: Rig, clock: FixedClock) -> None:
    slack = Workspace()
    async with FarSide(slack) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url, signing_secret=SIGNING)
        one = notice(clock)
        one.lead.name = HOSTILE
        await put(rig.db, one)
        await rig.work()
        (told,) = slack.messages["DUANNA"]
        shown = texts(told["blocks"])
        assert "<!channel>" not in shown + told["text"]
        assert "<https://evil" not in shown + told["text"]
        assert "&lt;!channel&gt; &amp;" in shown
        actions = next(b for b in told["blocks"] if b["type"] == "actions")
        assert [e["text"]["text"] for e in actions["elements"]] == ["I take it", "Not now", "Snooze", "Open"]
        assert actions["elements"][-1]["url"] == f"https://leads.aurora.example/leads/{one.lead.id}"
        await put(rig.db, msgspec.structs.replace(one, state="claimed", by="ben", note="Taken by ben."))
        await rig.work()
        (told,) = slack.messages["DUANNA"]
        assert "Taken by ben." in texts(told["blocks"])
        assert not any(b["type"] == "actions" for b in told["blocks"])
        assert [r.path for r in far.requests] == [
            "/users.lookupByEmail",
            "/conversations.open",
            "/chat.postMessage",
            "/chat.update",
        ]


async def test_what_may_have_arrived_is_looked_for_first(rig: Rig, clock: FixedClock) -> None:
    slack = Workspace()
    async with FarSide(slack) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url, channel="C1", feed=True)

        slack.tear = 1
        await put(rig.db, notice(clock))
        await rig.work()
        clock.at += timedelta(minutes=1)
        await rig.work()
        assert len(slack.messages["C1"]) == 1
        (row,) = await rig.rows()
        assert (row["state"], row["attempts"]) == ("delivered", 2)
        # Where it may not look, it says so, and sends no third.
        slack.history = False
        slack.tear = 2
        await put(rig.db, notice(clock, rep="ben"))
        for _ in range(4):
            await rig.work()
            clock.at += timedelta(minutes=5)
        assert len(slack.messages["C1"]) == 3
        assert "may have been sent before" in texts(slack.messages["C1"][2]["blocks"])
        assert (await rig.rows("rep_id = 'ben'"))[0]["reason"] == "outcome_unknown"


@pytest.mark.parametrize("word", ["ratelimited", "internal_error"])
async def test_nothing_is_sent_again_while_nobody_can_say_whether_it_is_there(
    rig: Rig, clock: FixedClock, word: str
) -> None:
    slack = Workspace()
    async with FarSide(slack) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url, channel="C1", feed=True)
        slack.tear, slack.history = 1, word
        await put(rig.db, notice(clock))
        for _ in range(3):
            await rig.work()
            clock.at += timedelta(minutes=20)
        assert len(slack.messages["C1"]) == 1
        slack.history = True
        await rig.work()
        assert len(slack.messages["C1"]) == 1
        (row,) = await rig.rows()
        assert row["state"] == "delivered"


@pytest.mark.parametrize(
    "said",
    [
        {"ok": True},
        {"ok": True, "user": None},
        {"ok": True, "user": {"id": "UANNA"}, "channel": "D1"},
        {"ok": True, "user": "UANNA"},
    ],
)
async def test_an_answer_of_another_shape_is_no_bug(rig: Rig, clock: FixedClock, said: dict) -> None:
    async with FarSide(farside.json(said)) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url)
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["reason"]) == ("due", "failed")
        assert row["detail"].startswith("unexpected answer")


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        (farside.json({"ok": False, "error": "ratelimited"}, 429, **{"retry-after": "3"}), "due", "overloaded"),
        (farside.json({"ok": False, "error": "invalid_auth"}), "due", "failed"),
        (farside.json({"ok": False, "error": "internal_error"}), "due", "failed"),
        (farside.json({"ok": False, "error": "msg_blocks_too_long"}), "gave_up", "refused"),
        (farside.text("<html>", 200), "due", "failed"),
        (farside.status(502), "due", "failed"),
    ],
)
async def test_answers_of_the_web_api(rig: Rig, clock: FixedClock, said: Answer, state: str, reason: str) -> None:
    slack = Workspace()
    slack.fail = [said]
    async with FarSide(slack) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url)
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert (row["state"], row["reason"]) == (state, reason)


async def test_a_test_goes_to_the_person_who_is_named(rig: Rig) -> None:
    slack = Workspace()
    async with FarSide(slack) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url, name="slack")
        assert (await rig.endpoints.test("slack")).outcome == "refused"
        assert (await rig.endpoints.test("slack", "anna@aurora.example")).outcome == "ok"
        assert "This is a test of the channel." in texts(slack.messages["DUANNA"][0]["blocks"])


async def test_a_rep_whom_slack_does_not_know(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(Workspace()) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url)
        await put(rig.db, notice(clock, rep="maria"), notice(clock, rep="nobody"))
        await rig.work()
        rows = {r["rep_id"]: (r["state"], r["detail"]) for r in await rig.rows()}
        assert rows["maria"] == ("gave_up", "users.lookupByEmail: users_not_found")
        assert rows["nobody"][0] == "gave_up"


@pytest.mark.parametrize(
    ("said", "state", "enabled"),
    [
        (farside.text("ok"), "delivered", True),
        (farside.text("no_service", 404), "gave_up", False),
        (farside.text("channel_is_archived", 410), "gave_up", False),
        (farside.text("invalid_blocks", 400), "gave_up", True),
        (farside.text("action_prohibited", 403), "gave_up", True),
        (farside.text("rollup_error", 500), "due", True),
        (farside.text("<html>welcome</html>"), "gave_up", True),
        (farside.too_many(1), "due", True),
    ],
)
async def test_answers_of_an_incoming_webhook(
    rig: Rig, clock: FixedClock, said: Answer, state: str, enabled: bool
) -> None:
    async with FarSide(said) as far:
        await rig.add("slack_webhook", url=far.url + "/services/T/B/x", name="hook")
        await put(rig.db, notice(clock))
        await rig.work()
        (row,) = await rig.rows()
        assert row["state"] == state
        assert (await rig.endpoints.find("hook")).enabled is enabled
        assert far.requests[0].json["text"].startswith("New lead for you: Vera Virta, Nordwind")


async def test_teams_gets_a_card_of_plain_text(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(farside.status(202)) as far:
        await rig.add("teams", url=far.url + "/workflows/1?sig=s")
        one = notice(clock)
        one.lead.name = "[click](https://evil.example) <at>all</at>"
        one.why = "w" * 100_000
        await put(rig.db, one)
        await rig.work()
        (request,) = far.requests
        assert len(request.body) < 28_000
        card = request.json["attachments"][0]["content"]
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        # No text of a lead stands where Markdown would be read.
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
        assert {action["type"] for action in card["actions"]} == {"Action.OpenUrl"}
        assert (await rig.rows())[0]["state"] == "delivered"


class Buttons:
    """The route, called as Slack calls it."""

    def __init__(self, rig: Rig) -> None:
        self.given: list[LeadAnswer] = []
        self.error: Exception | None = None
        self.rig = rig
        self.actions = SlackActions(
            rig.store,
            rig.tools,
            rig.clock,
            Inbox(rig.db, rig.clock),
            Ledger(rig.db),
            reps=lambda: rig.people,
            give=self.give,
        )
        app = make_app(self.actions.routes(), [])
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    async def give(self, asked: LeadAnswer) -> None:
        if self.error is not None:
            raise self.error
        self.given.append(asked)

    async def press(self, payload: dict, *, secret: str = SIGNING, age_s: int = 0, tampered: bool = False) -> int:
        body = urlencode({"payload": json.dumps(payload)})
        at = str(int(self.rig.clock.now().timestamp()) - age_s)
        headers = {
            "x-slack-request-timestamp": at,
            "x-slack-signature": SignatureVerifier(secret).generate_signature(timestamp=at, body=body) or "",
            "content-type": "application/x-www-form-urlencoded",
        }
        answer = await self.http.post("/v1/slack/actions", content=body + ("x" * tampered), headers=headers)
        return answer.status_code


def press_of(message: dict, index: int, user: str, far: FarSide) -> dict:
    actions = next(b for b in message["blocks"] if b["type"] == "actions")
    return {
        "type": "block_actions",
        "user": {"id": user},
        "actions": [actions["elements"][index]],
        "response_url": far.url + "/respond",
    }


async def test_a_channel_of_another_key_stops_no_buttons(rig: Rig) -> None:
    await rig.add("slack_bot", token="xoxb-test", signing_secret=SIGNING)
    sealed = EndpointStore(rig.db, SecretBox(b"x" * 32))
    await Endpoints(sealed, rig.tools, rig.clock).add(
        Draft(name="other", kind="slack_bot", values={"token": "xoxb-other", "signing_secret": "other"})
    )
    buttons = Buttons(rig)
    nothing = {"type": "block_actions", "user": {"id": "U1"}, "actions": []}
    assert await buttons.press(nothing) == 200
    assert await buttons.press(nothing, secret="other") == 401


async def test_a_button_answers_for_the_rep_and_the_message_changes(rig: Rig, clock: FixedClock) -> None:
    slack = Workspace()
    async with FarSide(slack) as far:
        await rig.add("slack_bot", token="xoxb-test", api=far.url, signing_secret=SIGNING)
        one = notice(clock)
        await put(rig.db, one)
        await rig.work()
        (told,) = slack.messages["DUANNA"]
        buttons = Buttons(rig)
        assert await buttons.press(press_of(told, 0, "UANNA", far)) == 200
        (given,) = buttons.given
        assert (given.command, given.lead_id, given.rep) == ("accept", one.lead.id, "anna")
        assert one.assignment is not None
        assert (given.assignment_id, given.gen) == (one.assignment.id, 1)
        replaced = far.requests[-1].json
        assert replaced["replace_original"] is True
        assert "You have taken it." in texts(replaced["blocks"])
        async with rig.db.raw() as pg:
            assert await pg.fetchval("SELECT read_at FROM notify.notice WHERE id = $1", one.id) == clock.now()
        assert await buttons.press(press_of(told, 1, "UANNA", far)) == 200
        assert (buttons.given[-1].command, buttons.given[-1].reason) == ("decline", "not_now")
        assert await buttons.press(press_of(told, 2, "UANNA", far)) == 200
        assert buttons.given[-1].until == clock.now() + timedelta(hours=1)
        assert far.requests[-1].json["response_type"] == "ephemeral"
        # Too late: the router's words come back, to that person alone.
        buttons.error = Refused("ben has accepted it <!here>", code="already_taken")
        assert await buttons.press(press_of(told, 0, "UANNA", far)) == 200
        assert far.requests[-1].json["text"] == "ben has accepted it &lt;!here&gt;"
        # A stranger in the channel, and one whom the directory does not know.
        assert await buttons.press(press_of(told, 0, "USTRANGER", far)) == 200
        assert "do not know who you are" in far.requests[-1].json["text"]
        # The button that opens the lead is the browser's.
        calls = len(far.requests)
        assert await buttons.press(press_of(told, 3, "UANNA", far)) == 200
        assert len(far.requests) == calls


async def test_buttons_are_verified_over_the_raw_bytes(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(Workspace()) as far:
        await rig.add("slack_webhook", url=far.url + "/hook", signing_secret=SIGNING, users="UANNA=anna, UX=gone")
        await put(rig.db, notice(clock))
        await rig.work()
        message = far.requests[0].json
        buttons = Buttons(rig)
        good = press_of(message, 0, "UANNA", far)
        assert await buttons.press(good, secret="another") == 401
        assert await buttons.press(good, age_s=301) == 401
        assert await buttons.press(good, age_s=-301) == 401
        assert await buttons.press(good, tampered=True) == 401
        assert (await buttons.http.post("/v1/slack/actions", content="payload={}")).status_code == 401
        large = await buttons.http.post("/v1/slack/actions", content="payload=" + "x" * 65_536)
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        assert not buttons.given
        assert await buttons.press({"type": "view_submission"}) == 400
        assert await buttons.press(good, age_s=299) == 200
        assert [g.rep for g in buttons.given] == ["anna"]
        assert await buttons.press(press_of(message, 0, "UX", far)) == 200
        assert len(buttons.given) == 1
        rig.people["anna"] = msgspec.structs.replace(ANNA, active=False)
        assert await buttons.press(good) == 200
        assert len(buttons.given) == 1
