"""Channels, preferences and deliveries over HTTP and on the command line."""

import json
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

import services.cli.channels  # noqa: F401 registers the commands
from services.cli import app
from services.notify.api.endpoints import channel_router, delivery_router
from services.notify.api.preferences import Desk, preference_router
from services.notify.handler.endpoints import Change
from services.notify.store.ledger import Ledger
from services.runtime.access import Access
from services.runtime.clock import FixedClock
from services.runtime.http import make_app
from tests.integration.notify.far import Rig, notice, put
from tests.support import farside
from tests.support.farside import FarSide


class Api:
    """The routers over ASGI, with a token of each role."""

    def __init__(self, rig: Rig) -> None:
        access = Access(rig.db, rig.clock)
        desk = Desk(rig.db, rig.clock, rig.store, lambda: rig.people, 12)
        routers = [
            channel_router(rig.endpoints, rig.clock),
            delivery_router(Ledger(rig.db), rig.clock),
            preference_router(desk),
        ]
        application = make_app([], routers, access)
        self.access = access
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test")
        self.tokens: dict[str, str] = {}

    async def call(self, method: str, path: str, body=None, *, who: str = "admin", status: int = 200):
        if who not in self.tokens:
            self.tokens[who] = await self.access.create(
                "rep" if who == "anna" else who, "anna" if who == "anna" else None
            )
        answer = await self.http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {self.tokens[who]}"}
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


async def test_a_channel_from_first_to_last_and_its_secrets_are_never_shown(rig: Rig) -> None:
    api = Api(rig)
    async with FarSide() as far:
        url = far.url + "/very-secret-path"
        asked = {"name": "hook", "kind": "webhook", "values": {"url": url}}
        made = await api.call("POST", "/v1/channels", asked, who="marketing", status=201)
        assert made["secrets"]["secret"].startswith("whsec_")
        assert (await api.call("POST", "/v1/channels", asked, status=409))["code"] == "name_taken"
        tested = await api.call("POST", "/v1/channels/hook/test", who="ops")
        assert tested["outcome"] == "ok"
        assert far.requests[0].json["type"] == "test"
        far.answers = [farside.status(404)]
        assert (await api.call("POST", "/v1/channels/hook/test"))["outcome"] == "refused"
        rotated = await api.call("POST", "/v1/channels/hook/rotate", {"values": {"url": url}})
        assert rotated["secrets"]["secret"] != made["secrets"]["secret"]
        off = await api.call("POST", "/v1/channels/hook/disable", who="ops")
        assert (off["enabled"], off["disabled_reason"]) == (False, "by_hand")
        on = await api.call("POST", "/v1/channels/hook/disable", {"disabled": False})
        assert on["enabled"]
        shown = json.dumps([await api.call("GET", "/v1/channels"), await api.call("GET", f"/v1/channels/{made['id']}")])
        for secret in (made["secrets"]["secret"], rotated["secrets"]["secret"], "very-secret-path"):
            assert secret not in shown
        async with rig.db.raw() as pg:
            row = await pg.fetchrow("SELECT secret, secret_before FROM notify.endpoint")
        assert b"very-secret-path" not in row["secret"] + row["secret_before"]
        await api.call("DELETE", "/v1/channels/hook", status=204)
        await api.call("GET", "/v1/channels/hook", status=404)
        assert (await api.call("GET", "/v1/channels/kinds", who="ops"))["items"][0]["kind"] == "webhook"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "pigeon"}, "kind:"),
        ({"kind": "webhook"}, "url: is missing"),
        ({"kind": "webhook", "values": {"url": "ftp://x"}}, "url: write it as"),
        ({"kind": "webhook", "values": {"url": "https://x.example", "secret": "short"}}, "secret: write it as"),
        ({"kind": "webhook", "values": {"url": "https://x.example", "colour": "red"}}, "colour: not known"),
        ({"kind": "webhook", "values": {"url": "https://" + "x" * 3000}}, "url: at most"),
        ({"kind": "webhook", "values": {"url": "https://x.example"}, "kinds": ["gossip"]}, "kinds: gossip"),
        ({"kind": "webhook", "name": "\u202e\n", "values": {"url": "https://x.example"}}, "name:"),
        ({"kind": "webhook", "values": {"url": "https://[::1"}}, "no URL"),
        ({"kind": "pipedrive", "values": {"domain": "x.pipedrive.com", "token": "t"}}, "domain: write it as"),
        ({"kind": "slack_bot", "values": {"api": "slack.com/api", "token": "t"}}, "api: write it as"),
        ({"kind": "webhook", "values": {"url": "https://x.example"}, "reps": ["r" * 201]}, "reps, segments:"),
    ],
)
async def test_what_is_wrong_with_a_channel_is_said(rig: Rig, body: dict, words: str) -> None:
    answer = await Api(rig).http.post("/v1/channels", json={"name": "x", **body})
    assert answer.status_code == 401
    api = Api(rig)
    token = await api.access.create("admin")
    answer = await api.http.post(
        "/v1/channels", json={"name": "x", **body}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code in (409, 422)
    assert words in answer.json()["message"]


async def test_a_channel_is_changed_and_its_secrets_stay_where_they_were_meant_to(rig: Rig) -> None:
    api = Api(rig)
    async with FarSide() as far, FarSide() as other:
        token = "xoxb-very-secret"
        await rig.add("slack_bot", name="slack", token=token, api=far.url, channel="C1")
        await rig.add("webhook", name="hook", url=far.url)
        before = await api.call("GET", "/v1/channels/slack")

        async def change(body: dict, status: int = 200, who: str = "marketing", name: str = "slack"):
            return await api.call("PATCH", f"/v1/channels/{name}", body, who=who, status=status)

        for who in ("ops", "anna"):
            await change({"name": "x"}, 403, who)
        # Settings and options; what is not said stays.
        after = await change({"values": {"channel": "C2", "users": "U1=anna"}, "kinds": ["handover"], "per_s": 0.5})
        assert after["options"] == {"api": far.url, "channel": "C2", "users": "U1=anna"}
        assert (after["kinds"], after["per_s"]) == (["handover"], 0.5)
        same = {"id", "name", "kind", "feed", "reps", "segments", "concurrency", "enabled", "rotated_at"}
        assert {key: after[key] for key in same} == {key: before[key] for key in same}
        # What is sent is what was changed.
        far.answers = [farside.json({"ok": True, "ts": "1", "channel": "C2"})]
        await api.call("POST", "/v1/channels/slack/test")
        assert far.requests[-1].json["channel"] == "C2"
        assert far.requests[-1].headers["authorization"] == f"Bearer {token}"
        gone = await change({"values": {"users": ""}, "reps": ["anna"], "name": "slack2"})
        assert (gone["options"], gone["reps"], gone["name"]) == ({"api": far.url, "channel": "C2"}, ["anna"], "slack2")
        await change({"name": "slack", "reps": []}, name="slack2")

        # The token does not go to another address unless whoever says so knows it.
        refused = await change({"values": {"api": other.url}}, 422)
        assert refused["message"].startswith("token: say it again, as api changes")
        await api.call("POST", "/v1/channels/slack/test")
        assert not other.requests
        moved = await change({"values": {"api": other.url, "token": "xoxb-other"}})
        assert moved["options"]["api"] == other.url
        await api.call("POST", "/v1/channels/slack/test")
        assert other.requests[-1].headers["authorization"] == "Bearer xoxb-other"
        async with rig.db.raw() as pg:
            assert await pg.fetchval("SELECT secret_before FROM notify.endpoint WHERE name = 'slack'") is None
        # Back to the vendor's own address, which needs none.
        assert "say it again" in (await change({"values": {"api": ""}}, 422))["message"]

        for body, words in (
            ({"values": {"token": "xoxb-new"}}, "token: a secret; it is changed by a rotation"),
            ({"values": {"colour": "red"}}, "colour: not known to slack_bot"),
            ({"values": {"api": "slack.com", "token": "t"}}, "api: write it as"),
            ({"values": {"channel": "C" * 41}}, "channel: at most 40"),
            ({"kinds": ["gossip"]}, "kinds: gossip"),
            ({"name": "\u202e"}, "name:"),
            ({"reps": ["r" * 201]}, "reps, segments:"),
            ({"kind": "webhook"}, ""),
            ({"per_s": 0}, ""),
        ):
            assert words in (await change(body, 422))["message"]
        assert (await change({"name": "hook"}, 409))["code"] == "name_taken"
        assert (await change({"values": {"api": "https://[::1", "token": "t"}}, 409))["code"] == "address_refused"
        await change({}, 404, name="nowhere")
        shown = json.dumps(await api.call("GET", "/v1/channels"))
        assert token not in shown
        assert "xoxb-other" not in shown


async def test_a_failing_channel_begins_anew_when_it_is_changed(rig: Rig) -> None:
    one = await rig.add("webhook", name="hook", url="https://x.example")
    async with rig.db.transaction() as pg:
        await pg.execute(
            "UPDATE notify.endpoint SET failures = 9, failing_since = now(), pause_until = now() + interval '1 h'"
        )
    after = await rig.endpoints.change(one, Change(reps=["anna"]))
    assert (after.failures, after.failing_since, after.pause_until) == (0, None, None)
    # Somebody else was quicker: nothing is lost of what they did.
    stale = await rig.endpoints.find(one)
    await rig.endpoints.change(one, Change(segments=["volume"]))
    assert not await rig.endpoints.store.change(msgspec.structs.replace(stale, reps=[]), None)
    assert (await rig.endpoints.find(one)).segments == ["volume"]


async def test_preferences_in_three_layers(rig: Rig) -> None:
    api = Api(rig)
    async with FarSide() as far:
        own = await rig.add("slack_bot", name="slack", token="xoxb-t", api=far.url)
        await rig.add(url=far.url, name="feed")
    shown = await api.call("GET", "/v1/me/preferences", who="anna")
    assert shown["effective"] == {"interrupts_per_hour": 12}
    assert [c["name"] for c in shown["channels"]] == ["slack"]
    await api.call(
        "PUT", "/v1/preferences", {"quiet_hours": "daily 20:00-07:00", "channels": {"due": [own]}}, who="marketing"
    )
    mine = {
        "channels": {"opened": []},
        "ladder": [{"after_min": 5, "to": own}, {"after_min": 9, "to": "manager"}],
        "delegate": "ben",
    }
    shown = await api.call("PUT", "/v1/me/preferences", mine, who="anna")
    assert shown["effective"] == {
        "interrupts_per_hour": 12,
        "quiet_hours": "daily 20:00-07:00",
        "channels": {"due": [own], "opened": []},
        "ladder": mine["ladder"],
        "delegate": "ben",
    }
    assert (await api.call("GET", "/v1/reps/anna/preferences", who="marketing"))["own"] == shown["own"]
    await api.call("PUT", "/v1/reps/anna/preferences", {}, who="marketing")
    assert (await api.call("GET", "/v1/me/preferences", who="anna"))["own"] == {}
    await api.call("GET", "/v1/reps/anna/preferences", who="anna", status=403)
    await api.call("GET", "/v1/reps/nobody/preferences", status=404)
    assert (await api.call("GET", "/v1/me/preferences", status=400))["code"] == "rep_missing"
    for wrong in (
        {"channels": {"gossip": []}},
        {"channels": {"due": ["nothing"]}},
        {"quiet_hours": "at night"},
        {"delegate": "anna"},
        {"delegate": "nobody"},
        {"ladder": [{"after_min": 5, "to": "x"}]},
        {"ladder": [{"after_min": 5, "to": "manager"}, {"after_min": 5, "to": "manager"}]},
        {"interrupts_per_hour": 0},
        {"interrupts_per_hour": True},
        {"unknown": 1},
    ):
        await api.call("PUT", "/v1/me/preferences", wrong, who="anna", status=422)


async def test_deliveries_are_listed_shown_and_put_back(rig: Rig, clock: FixedClock) -> None:
    api = Api(rig)
    async with FarSide(farside.status(404)) as far:
        await rig.add(url=far.url, name="hook")
        await put(rig.db, *(notice(clock) for _ in range(5)))
        await rig.work()
        listed = await api.call("GET", "/v1/ops/deliveries?state=gave_up&endpoint=hook&limit=3", who="ops")
        assert len(listed["items"]) == 3
        rest = await api.call("GET", f"/v1/ops/deliveries?limit=3&cursor={listed['next']}", who="ops")
        ids = [one["id"] for one in listed["items"] + rest["items"]]
        assert len(set(ids)) == 5
        assert rest["next"] is None
        await api.call("GET", "/v1/ops/deliveries?cursor=no", who="ops", status=400)
        one = await api.call("GET", f"/v1/ops/deliveries/{ids[0]}", who="ops")
        assert (one["state"], one["reason"], one["detail"]) == ("gave_up", "refused", "HTTP 404")
        before = {r.headers["webhook-id"] for r in far.requests}
        far.answers = [farside.ok()]
        assert await api.call("POST", f"/v1/ops/deliveries/{ids[0]}/replay", who="ops") == {"replayed": 1}
        await rig.work()
        assert len(far.requests) == 6
        assert far.requests[-1].headers["webhook-id"] in before
        assert await api.call("POST", "/v1/ops/deliveries/replay", {"endpoint": "hook"}, who="ops") == {"replayed": 4}
        await rig.work()
        assert {r["state"] for r in await rig.rows()} == {"delivered"}
        # On purpose, it goes out again whatever has happened since; also when that needs another try.
        far.answers = [farside.status(500), farside.ok()]
        sent = len(far.requests)
        assert await api.call("POST", f"/v1/ops/deliveries/{ids[1]}/replay", who="ops") == {"replayed": 1}
        await rig.work()
        clock.at += timedelta(minutes=1)
        await rig.work()
        assert len(far.requests) == sent + 2
        assert await api.call("POST", "/v1/ops/deliveries/replay", who="ops") == {"replayed": 0}
        await api.call("POST", f"/v1/ops/deliveries/{'0' * 32}/replay", who="ops", status=404)
        await api.call("GET", f"/v1/ops/deliveries/{'0' * 32}", who="ops", status=404)


def test_the_command_line(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAD_ROUTER_DATABASE_URL", database_url)
    monkeypatch.setenv("LEAD_ROUTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LEAD_ROUTER_OUTGOING_NETWORKS", "127.0.0.0/8")

    def run(*words: str, stdin: str = "", code: int = 0) -> str:
        done = CliRunner().invoke(app, ["channel", *words], input=stdin)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output if code == 0 else f"{done.output}{done.exception}"

    made = json.loads(run("add", "hook", "--kind", "webhook", stdin='{"url": "http://127.0.0.1:9"}'))
    assert made["secrets"]["secret"].startswith("whsec_")
    assert "write it as" in run("add", "x", "--kind", "webhook", stdin='{"url": "nothing"}', code=1)
    assert "JSON object" in run("add", "x", "--kind", "webhook", stdin="url", code=1)
    assert run("test", "hook", code=1).startswith("failed 127.0.0.1 does not answer")
    listed = run("list")
    assert "hook\twebhook\tfeed\ton" in listed
    assert "whsec" not in listed
    changed = json.loads(run("change", "hook", "--personal", "--only", "due", "--rep", "anna", "--name", "hook2"))
    assert (changed["name"], changed["feed"]) == ("hook2", False)
    assert "url: a secret" in run("change", "hook2", stdin='{"url": "http://127.0.0.1:10"}', code=1)
    assert json.loads(run("change", "hook2", "--rep", "", "--feed", "--name", "hook"))["feed"]
    assert json.loads(run("rotate", "hook", stdin="{}"))["secrets"] != made["secrets"]
    assert "disabled" in run("disable", "hook")
    assert "off: by_hand" in run("list")
    assert "tries" in run("deliveries", "hook")
    assert run("replay", "hook") == "0 put back.\n"
    for words in (("deliveries", "nowhere"), ("replay", "nowhere")):
        assert "no channel 'nowhere'" in run(*words, code=1)
    assert "no delivery 00 that has ended" in run("replay", "--delivery", "00", code=1)
    assert "webhook: Outgoing webhook" in run("kinds")
    assert "gone" in run("delete", "hook")
    assert "no channel" in run("test", "hook", code=1)
