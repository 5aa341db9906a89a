"""Who is who: moved addresses, merges and aliases link both names; leaving and erasing reach their signals."""

from typing import Any

import pytest

from services.ingest.sources import calendly, facebook_lead_ads, hubspot
from services.ingest.sources.hooks import Item
from tests.unit.ingest.sources.examples import ANNE, T
from tests.unit.ingest.sources.reading import form, ids, read


def test_mailchimp_moves_an_address() -> None:
    body = {"type": "upemail", "fired_at": "2026-11-18 08:00:00", "data[list_id]": "l1", "data[new_id]": "n1",
            "data[new_email]": ANNE, "data[old_email]": "old@nordwind.example"}  # fmt: skip
    moved = read("mailchimp", form(body)).one
    assert moved.signal == "person.identified"
    assert ids(moved) == [f"email:{ANNE}", "email:old@nordwind.example"]


def app(kind: str, **more: Any) -> list[dict[str, Any]]:
    return [{"eventId": 5, "subscriptionId": 6, "portalId": 7, "occurredAt": T * 1000, "objectId": 99,
             "subscriptionType": kind, "attemptNumber": 0, **more}]  # fmt: skip


def test_hubspot_merges_contacts_and_learns_their_address() -> None:
    merged = read("hubspot", app("contact.merge", primaryObjectId=99, mergedObjectIds=[99, 12, 13])).events
    assert [ids(event.data) for event in merged] == [
        ["crm:hubspot:7:99", "crm:hubspot:7:12"],
        ["crm:hubspot:7:99", "crm:hubspot:7:13"],
    ]
    assert len({event.id for event in merged}) == 2
    learnt = read("hubspot", app("contact.propertyChange", propertyName="email", propertyValue=ANNE)).one
    assert ids(learnt) == [f"email:{ANNE}", "crm:hubspot:7:99"]
    hidden = read("hubspot", app("contact.propertyChange", propertyName="email", propertyValue="REDACTED")).one
    assert ids(hidden) == ["crm:hubspot:7:99"]
    assert hidden.traits is None


@pytest.mark.parametrize(
    ("name", "value", "signal"),
    [
        ("hs_email_last_open_date", str(T * 1000), "email.opened"),
        ("hs_email_last_click_date", str(T * 1000), "email.clicked"),
        ("hs_analytics_last_visit_timestamp", str(T * 1000), "page.viewed"),
        ("hs_analytics_last_url", "https://shop.example/pricing", "page.viewed"),
        ("recent_conversion_event_name", "Newsletter: footer", "form.submitted"),
        ("recent_conversion_event_name", "Request a demo", "demo.requested"),
        ("hs_email_optout", "true", "email.unsubscribed"),
        ("jobtitle", "CEO", "person.identified"),
    ],
)
def test_hubspot_properties_that_record_a_deed(name: str, value: str, signal: str) -> None:
    found = read("hubspot", app("contact.propertyChange", propertyName=name, propertyValue=value)).one
    assert found.signal == signal
    assert found.path == ("/pricing" if value.endswith("/pricing") else None)


def test_hubspot_tests_and_companies_are_no_leads() -> None:
    assert read("hubspot", app("contact.creation", eventId=100)).ignored == ["contact.creation test"]
    assert read("hubspot", app("company.propertyChange")).ignored == ["company.propertyChange"]
    assert (
        read("hubspot", app("contact.propertyChange", propertyName="hs_email_optout", propertyValue="false")).events
        == []
    )
    unknown = read("hubspot", app("contact.dancing"))
    assert (unknown.ignored, unknown.signals) == (["contact.dancing"], ["contact_dancing"])


def test_the_door_for_looking_up_what_only_has_an_id() -> None:
    assert hubspot.api_path("hubspot:7:99") == (
        "/crm/v3/objects/contacts/99?properties=email,firstname,lastname,company,jobtitle"
    )
    assert hubspot.api_path("hubspot:7:0-3:99") is None
    answer = {"id": "44", "field_data": [{"name": "email", "values": [ANNE]}]}
    assert facebook_lead_ads.answers_of(answer) == {"email": ANNE}
    booked = {"payload": {"scheduled_event": {"event_memberships": [{"user_email": "rep@shop.example"}]}}}
    assert calendly.host_of(Item(booked)) == "rep@shop.example"
    assert calendly.host_of(Item({})) is None


def posthog(event: str, distinct: str, **properties: Any) -> Any:
    return {"api_key": "k", "event": event, "distinct_id": distinct, "uuid": "1", "properties": properties}


BROWSER = "0190d9a0-1111-7222-8333-444455556666"


def test_posthog_identify_links_browser_and_person() -> None:
    body = {**posthog("$identify", "u7", **{"$anon_distinct_id": BROWSER}), "$set": {"email": ANNE, "$os": "x"}}
    found = read("posthog", body).one
    assert ids(found) == [f"email:{ANNE}", "user:u7", f"anonymous:{BROWSER}"]
    assert found.traits == {"email": ANNE}
    assert ids(read("posthog", posthog("$pageview", BROWSER)).one) == [f"anonymous:{BROWSER}"]
    assert ids(read("posthog", posthog("$pageview", "u7", **{"$device_id": BROWSER})).one) == [
        "user:u7",
        f"anonymous:{BROWSER}",
    ]
    assert ids(read("posthog", posthog("$create_alias", "u7", alias="u8")).one) == ["user:u7", "user:u8"]
    assert read("posthog", posthog("$groupidentify", "$company_acme", **{"$group_key": "acme"})).events == []


@pytest.mark.parametrize(
    ("platform", "body", "signal"),
    [
        ("hubspot", app("contact.deletion"), "person.deleted"),
        ("brevo", {"event": "contact_deleted", "email": ANNE, "ts": T}, "person.deleted"),
        ("intercom", {"id": "n", "topic": "contact.deleted", "created_at": T, "data": {"item": {"id": "c", "email": ANNE}}},
         "person.deleted"),
        ("resend", {"type": "contact.deleted", "created_at": T, "data": {"email": ANNE}}, "person.deleted"),
        ("resend", {"type": "contact.updated", "created_at": T, "data": {"email": ANNE, "unsubscribed": True}},
         "email.unsubscribed"),
        ("braze", {"events": [{"event_type": "users.UserDeleteRequest", "id": "1", "time": T, "user": {"user_id": "b"}}]},
         "person.deleted"),
        ("pipedrive", {"meta": {"action": "deleted", "object": "person", "id": 4, "company_id": 9}, "current": None,
                       "previous": {"id": 4, "email": [{"value": ANNE, "primary": True}]}}, "person.deleted"),
        ("salesforce", {"object": "Contact", "Id": "003", "Email": ANNE, "IsDeleted": True}, "person.deleted"),
        ("mautic", {"mautic.lead_channel_subscription_changed": [{"channel": "email", "new_status": "unsubscribed",
                                                                  "contact": {"id": 4}}]}, "email.unsubscribed"),
        ("mautic", {"mautic.lead_channel_subscription_changed": [{"channel": "email", "new_status": "bounced",
                                                                  "contact": {"id": 4}}]}, "email.bounced"),
    ],
)  # fmt: skip
def test_leaving_and_erasing(platform: str, body: Any, signal: str) -> None:
    assert read(platform, body).one.signal == signal
