"""One thing that is reported twice counts once: the same id and the same time for both reports."""

from typing import Any

import pytest

from tests.unit.ingest.sources.examples import ANNE, T
from tests.unit.ingest.sources.reading import form, read


def keys(platform: str, *bodies: Any) -> list[tuple[str, Any]]:
    made = []
    for body in bodies:
        found = read(platform, body)
        assert (found.bad, found.refused) == ([], None)
        made += [(event.id, event.time) for event in found.events]
    return made


def brevo(event: str, **more: Any) -> dict[str, Any]:
    return {"id": 7, "event": event, "email": ANNE, "message-id": "<m1>", "ts_event": T, "ts_epoch": T * 1000, **more}


def test_brevo_tells_the_first_open_twice() -> None:
    one, two = keys("brevo", brevo("opened"), brevo("unique_opened", id=8))
    assert one == two
    assert len(set(keys("brevo", brevo("proxy_open"), brevo("unique_proxy_open"), brevo("opened")))) == 2
    assert len(set(keys("brevo", brevo("opened"), brevo("opened", ts_event=T + 60)))) == 2


def pixel(kind: str, at: int, number: str, **more: Any) -> list[dict[str, Any]]:
    event = {"type": kind, "event_id": number, "timestamp": str(at), "message_id": "m1", "rcpt_to": ANNE, **more}
    return [{"msys": {"track_event": event}}]


def test_sparkpost_has_two_pixels_in_a_mail() -> None:
    hour = T - T % 3600
    found = keys("sparkpost", pixel("initial_open", hour + 5, "1"), pixel("open", hour + 9, "2"))
    assert len(found) == 2
    assert len(set(found)) == 1
    later = keys("sparkpost", pixel("open", hour + 5, "1"), pixel("open", hour + 7205, "2"))
    assert len(set(later)) == 2
    machine = keys("sparkpost", pixel("open", hour + 5, "1", is_prefetched=True), pixel("open", hour + 9, "2"))
    assert len(set(machine)) == 2  # what a machine fetched must not hide the person's look
    times = [event.data.occurred_at for event in read("sparkpost", pixel("open", hour + 5, "1")).events]
    assert [at.timestamp() for at in times if at] == [hour + 5]  # the real time is kept


def hubspot(**more: Any) -> list[dict[str, Any]]:
    event = {
        "eventId": 5, "subscriptionId": 6, "portalId": 7, "occurredAt": T * 1000, "objectId": 99, "attemptNumber": 0,
        "subscriptionType": "contact.propertyChange", "propertyName": "firstname", "propertyValue": "Anne",
    }  # fmt: skip
    return [{**event, **more}]


def test_hubspot_gives_an_event_id_twice_and_numbers_its_tries() -> None:
    assert len(set(keys("hubspot", hubspot(), hubspot(attemptNumber=3)))) == 1
    assert len(set(keys("hubspot", hubspot(), hubspot(propertyName="lastname"), hubspot(objectId=98)))) == 3


@pytest.mark.parametrize(
    ("platform", "one", "again"),
    [
        ("intercom", {"delivery_attempts": 1}, {"delivery_attempts": 2}),
        ("mailjet", {}, {"Payload": "later"}),
        ("postmark", {}, {"ReadSeconds": 9}),
    ],
)
def test_a_retry_that_differs_in_its_bookkeeping(platform: str, one: dict[str, Any], again: dict[str, Any]) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "intercom": {
            "id": "n1",
            "topic": "contact.created",
            "created_at": T,
            "data": {"item": {"id": "c", "email": ANNE}},
        },
        "mailjet": {"event": "open", "time": T, "MessageID": 5, "email": ANNE},
        "postmark": {"RecordType": "Open", "MessageID": "m", "Recipient": ANNE, "ReceivedAt": "2026-11-18T08:00:00Z"},
    }
    assert len(set(keys(platform, {**bodies[platform], **one}, {**bodies[platform], **again}))) == 1


def test_activecampaign_tells_links_of_one_mail_apart() -> None:
    fields = {
        "type": "click", "date_time": "2026-11-18T08:00:00-06:00", "contact[id]": "3", "contact[email]": ANNE,
        "campaign[id]": "9", "link[id]": "1", "link[url]": "https://a.example/",
    }  # fmt: skip
    assert len(set(keys("activecampaign", form(fields), form(fields), form({**fields, "link[id]": "2"})))) == 2


def test_mandrill_tells_events_of_one_second_apart() -> None:
    assert len(set(keys("sendgrid", [{"event": "open", "email": ANNE, "timestamp": T, "sg_message_id": "m"}] * 2))) == 1


def test_a_deal_is_won_once_however_often_its_record_is_edited() -> None:
    deal = {"object": "Opportunity", "Id": "006", "StageName": "Closed Won", "ContactEmail": ANNE, "CloseTime": T}
    assert len(set(keys("salesforce", deal, {**deal, "LastModifiedDate": "2026-11-19T08:00:00Z"}))) == 1
