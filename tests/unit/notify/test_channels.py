"""Open streams without a network: bounded, ended, beaten."""

import asyncio
import gzip

import pytest

from services.notify.api.inbox import whose
from services.notify.api.site import SNIPPET, packed
from services.notify.api.stream import EventStream
from services.notify.channels.hub import Hub
from services.notify.channels.subscription import QUEUE_MAX, Subscription
from services.notify.handler.delivering import tools_of
from services.runtime.access import Identity
from services.runtime.errors import Refused
from services.runtime.http import ApiError
from services.runtime.settings import Settings


class Wire:
    """A client as ASGI sees it."""

    def __init__(self, *, stuck=False):
        self.sent = []
        self.stuck = stuck
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if self.stuck and len(self.sent) >= 2:
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def body(self):
        return b"".join(m.get("body", b"") for m in self.sent)


def stream(sub, *, allowed=True, beat_s=5.0, past=None):
    async def still():
        return allowed

    return EventStream(
        sub, allowed=still, begin=lambda: setattr(sub, "live", True), end=lambda: None, past=past, beat_s=beat_s
    )


@pytest.mark.parametrize(
    ("host", "public", "inbox"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8000/inbox"),
        ("0.0.0.0", None, ""),
        ("::", "https://leads.example.com/", "https://leads.example.com/inbox"),
    ],
)
def test_messages_link_only_to_where_people_find_us(host, public, inbox):
    conf = Settings(_env_file=None, host=host, port=8000, public_url=public)
    assert tools_of(conf).links.inbox() == inbox


async def test_frames_that_wait_go_out_in_one_write():
    sub, wire = Subscription("anna"), Wire()
    task = asyncio.create_task(stream(sub)({}, wire.receive, wire.send))
    await asyncio.sleep(0)
    for i in range(3):
        sub.push(b"f%d;" % i)
    await asyncio.sleep(0.02)
    assert wire.sent[0]["status"] == 200
    assert b"content-length" not in dict(wire.sent[0]["headers"])
    assert wire.sent[2]["body"] == b"f0;f1;f2;"
    wire.gone.set()
    await asyncio.wait_for(task, 1)
    assert sub.ended == "gone"
    assert wire.sent[-1].get("more_body") is not False


async def test_the_past_comes_before_the_live():
    async def past():
        yield b"old;"
        sub.push(b"new;")

    sub, wire = Subscription("anna"), Wire()
    task = asyncio.create_task(stream(sub, past=past())({}, wire.receive, wire.send))
    await asyncio.sleep(0.02)
    assert wire.body.endswith(b"old;new;")
    sub.end("stopping")
    await asyncio.wait_for(task, 1)
    assert wire.sent[-1]["more_body"] is False


async def test_a_client_that_does_not_read_is_ended_not_kept_in_memory():
    sub, wire = Subscription("anna"), Wire(stuck=True)
    task = asyncio.create_task(stream(sub)({}, wire.receive, wire.send))
    await asyncio.sleep(0.01)
    sub.push(b"x")
    await asyncio.sleep(0.01)
    pushed = sum(sub.push(b"y" * 1000) for _ in range(QUEUE_MAX * 2))
    assert pushed == QUEUE_MAX
    assert sub.ended == "slow"
    assert sub._frames == []
    assert not sub.push(b"z")
    task.cancel()
    await asyncio.wait_for(task, 1)


async def test_beats_keep_it_open_and_end_it_when_the_session_is_over():
    sub, wire = Subscription("anna"), Wire()
    task = asyncio.create_task(stream(sub, beat_s=0.02)({}, wire.receive, wire.send))
    await asyncio.sleep(0.09)
    assert wire.body.count(b": beat") >= 2
    wire.gone.set()
    await asyncio.wait_for(task, 1)
    over, wire = Subscription("anna"), Wire()
    await asyncio.wait_for(stream(over, allowed=False, beat_s=0.02)({}, wire.receive, wire.send), 1)
    assert over.ended == "revoked"
    assert b": beat" not in wire.body


async def test_who_asks_for_the_head_alone_is_answered_at_once():
    sub, wire, ended = Subscription("anna"), Wire(), []
    head = EventStream(sub, allowed=None, begin=None, end=lambda: ended.append(sub))
    await asyncio.wait_for(head({"method": "HEAD"}, wire.receive, wire.send), 1)
    assert [m["type"] for m in wire.sent] == ["http.response.start", "http.response.body"]
    assert wire.body == b""
    assert ended == [sub]


async def test_a_connection_that_breaks_ends_quietly():
    sub = Subscription("anna")

    async def broken(_message):
        raise OSError

    await stream(sub)({}, Wire().receive, broken)
    assert sub.ended == "gone"


def test_whose_inbox():
    anna = Identity("rep", "anna", "t", "Anna")
    assert whose(anna, None) == whose(anna, "anna") == "anna"
    with pytest.raises(Refused):
        whose(anna, "ben")
    admin = Identity("admin", None, "t", "admin")
    assert whose(admin, "ben") == "ben"
    with pytest.raises(ApiError):
        whose(admin, None)


def test_the_snippet_is_small_and_whole():
    code = packed(SNIPPET.read_text(encoding="utf-8")).decode()
    assert len(gzip.compress(code.encode())) < 6000
    assert code.startswith("/*! Lead Router site snippet. Apache-2.0. */\n(function () {")
    assert code.rstrip().endswith("})();")
    assert "https://" not in code.partition("*/")[2]


class _Hub(Hub):
    async def deliver(self, keys):
        return ()


class _Ears:
    """A listener that nothing reaches but what the test says."""

    def on(self, channel, callback):
        self.say = callback


async def test_a_bug_in_pushing_ends_the_process_and_not_its_stop():
    class Broken(_Hub):
        async def deliver(self, keys):
            raise ZeroDivisionError

    ears, fatal = _Ears(), []
    hub = Broken("test", ears, "channel", fatal.append)
    hub.add(Subscription("anna"))
    await hub.start()
    ears.say("anna")
    await asyncio.sleep(0.01)
    assert hub.ready() == "the test hub does not run"
    assert [type(error) for error in fatal] == [ZeroDivisionError]
    await hub.stop()


def _hub():
    ears = _Ears()
    hub = _Hub("test", ears, "channel")
    hub.add(Subscription("anna"))
    return hub, ears.say


def test_a_notification_of_our_own_commit_wakes_nobody_and_the_next_one_does():
    hub, say = _hub()
    hub.expect(["anna"])
    say("anna")
    assert not hub.due
    say("anna")
    assert hub.due == {"anna"}


def test_of_several_expected_each_is_passed_over_once():
    hub, say = _hub()
    hub.expect(["anna"])
    hub.expect(["anna"])
    say("anna")
    say("anna")
    assert not hub.due
    say("anna")
    assert hub.due == {"anna"}


def test_after_a_commit_that_failed_the_streams_look_and_the_next_notification_counts():
    hub, say = _hub()
    hub.expect(["anna"])
    hub.unsure(["anna"])
    assert hub.due == {"anna"}
    hub.due.clear()
    say("anna")
    assert hub.due == {"anna"}


def test_with_a_new_connection_nothing_is_expected_any_more():
    hub, say = _hub()
    hub.expect(["anna"])
    say("")
    assert hub.due == {"anna"}
    hub.due.clear()
    say("anna")
    assert hub.due == {"anna"}
