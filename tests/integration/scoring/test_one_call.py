"""With Kafka a batch is one round trip: the outbox row holds inputs, and messages are made of it later."""

import uuid

from schemas.codec import scored_decoder
from services.eventlog.outbox import RowOutbox
from services.runtime.settings import Settings
from tests.integration.scoring.conftest import event
from tests.support.offline import key_of


class Sent:
    """A writer that keeps what it is given."""

    def __init__(self):
        self.messages = []

    async def publish(self, messages, part=None):
        self.messages += messages

    async def close(self):
        pass

    def scored(self):
        found = [scored_decoder.decode(message.value).data for message in self.messages]
        self.messages = []
        return found


def on_kafka(rig, sent):
    rig.handler.outbox = RowOutbox(rig.db, sent, Settings(), uuid.uuid4().hex, "scoring", "batch", rig.handler.encode)
    return rig.handler.outbox


async def test_the_row_of_the_outbox_makes_the_same_messages_later(rig):
    sent = Sent()
    outbox = on_kafka(rig, sent)
    await rig.feed(
        event("person.identified", {"email": "vp@nordwind.example", "user": "u"}, traits={"title": "VP Sales"})
    )
    await rig.feed(
        event("page.viewed", {"user": "u"}, path="/pricing"), event("demo.requested", {"email": "x@kivi.example"})
    )
    assert await outbox.flush(5)
    told = sent.scored()
    assert [(m.lead_id, m.version) for m in told if m.account.domain == "nordwind.example"] == [
        (key_of("email", "vp@nordwind.example"), 1), (key_of("email", "vp@nordwind.example"), 2),
    ]  # fmt: skip
    assert told[1].members == told[0].members or len(told) == 3
    (stored,) = {row["payload"] for row in await rig.rows("SELECT payload FROM log.outbox ORDER BY seq DESC LIMIT 1")}
    again = [scored_decoder.decode(m.value).data for m in rig.handler.encode(stored)]
    assert {(m.lead_id, m.version) for m in again} <= {(m.lead_id, m.version) for m in told}
    assert await rig.rows("SELECT 1 FROM log.record WHERE topic = 'lead.scored'") == []
    await outbox.close()


async def test_dead_letters_and_erasures_go_the_longer_way(rig):
    sent = Sent()
    outbox = on_kafka(rig, sent)
    await rig.feed(event("person.identified", {"email": "bye@kivi.example"}), b"poison")
    await rig.feed(
        event("person.deleted", {"email": "bye@kivi.example"}), event("demo.requested", {"email": "y@kivi.example"})
    )
    assert await outbox.flush(5)
    assert [(m.kind, m.version) for m in sent.scored()] == [("changed", 1), ("erased", 2), ("changed", 1)]
    assert [row["reason"] for row in await rig.rows("SELECT reason FROM log.dead_letter")] == ["bad_json"]
    await outbox.close()
