"""Payloads of our own with the vendors' real field names: at least one for every platform, with what it must become."""

import base64
import json
from typing import Any

import msgspec

from tests.unit.ingest.sources.reading import FORM, form

T = 1_795_000_000  # a second in November 2026
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
ANNE = "anne@nordwind.example"


class Example(msgspec.Struct):
    """One request. `signals` and `ignored` in the order of the items; `id` of the first event's person."""

    platform: str
    body: Any
    signals: list[str] = []
    ignored: list[str] = []
    id: str = f"email:{ANNE}"
    headers: dict[str, str] = {}
    # Fields of the first event that must be so.
    has: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return f"{self.platform}-{'-'.join(self.signals) or 'none'}"


def _form(fields: dict[str, str]) -> bytes:
    return form(fields)


def _mandrill(*events: dict[str, Any]) -> bytes:
    return form({"mandrill_events": json.dumps(list(events))})


def _sendgrid(event: str, **more: Any) -> dict[str, Any]:
    return {
        "email": ANNE,
        "timestamp": T,
        "event": event,
        "sg_event_id": f"{event}-1",
        "sg_message_id": "m1.filter001.123.456",
        **more,
    }


def _mailgun(event: str, **more: Any) -> dict[str, Any]:
    return {"event-data": {"event": event, "id": f"{event}-1", "timestamp": T + 0.25, "recipient": ANNE, **more}}


def _customerio(metric: str, channel: str = "email", **data: Any) -> dict[str, Any]:
    known = {"identifiers": {"id": "u7", "email": ANNE}, "recipient": ANNE, "delivery_id": "d1", **data}
    return {"event_id": f"{metric}-1", "metric": metric, "object_type": channel, "timestamp": T, "data": known}


def _hubspot(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "eventId": 5,
        "subscriptionId": 6,
        "portalId": 7,
        "appId": 8,
        "occurredAt": T * 1000,
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": 99,
        **more,
    }


def _mautic_contact(email: str = ANNE) -> dict[str, Any]:
    return {
        "id": 26,
        "fields": {
            "core": {
                "email": {"alias": "email", "value": email},
                "title": {"alias": "title", "value": "Ms"},
                "position": {"alias": "position", "value": "VP Operations"},
                "company": {"alias": "company", "value": "Nordwind"},
            }
        },
    }


_STAMP = "2026-11-18T08:00:00+00:00"
_TIME = "2026-11-18T08:00:00Z"

EXAMPLES: list[Example] = [
    Example(
        "sendgrid",
        [
            _sendgrid("processed"),
            _sendgrid("delivered"),
            _sendgrid("open", sg_machine_open=True, useragent="Mozilla/5.0", ip="203.0.113.4", category=["news"]),
            _sendgrid("click", url="https://shop.example/pricing", useragent=AGENT),
            _sendgrid("bounce", type="bounce"),
            _sendgrid("bounce", type="blocked", sg_event_id="b2"),
            _sendgrid("dropped", reason="Unsubscribed Address"),
            _sendgrid("spamreport"),
            _sendgrid("group_unsubscribe"),
            _sendgrid("group_resubscribe"),
        ],
        [
            "email.delivered", "email.opened", "email.clicked", "email.bounced", "email.unsubscribed",
            "email.complained", "email.unsubscribed", "email_subscribed",
        ],
        ["processed", "blocked"],
        has={"message_id": "m1"},
    ),
    Example("mailgun", _mailgun("opened", **{"client-info": {"bot": "apple", "user-agent": "Mozilla/5.0"}}),
            ["email.opened"], has={"actor": "machine", "user_agent": "Mozilla/5.0"}),
    Example("mailgun", _mailgun("opened", **{"client-info": {"bot": "gmail"}}), ["email.opened"], has={"actor": "proxied"}),
    Example("mailgun", _mailgun("clicked", url="https://shop.example/a", tags=["news"], **{"user-variables": "{}"}),
            ["email.clicked"], has={"link": "https://shop.example/a", "campaign": "news"}),
    Example("mailgun", _mailgun("failed", severity="permanent"), ["email.bounced"]),
    Example("mailgun", _mailgun("failed", severity="temporary"), [], ["temporary_fail"]),
    Example(
        "mailgun",
        _form({
            "event": "opened", "recipient": ANNE, "timestamp": str(T), "token": "t1", "signature": "s1",
            "user-agent": AGENT, "ip": "203.0.113.4", "Message-Id": "<m1@shop.example>", "tag": "news",
        }),
        ["email.opened"],
        headers={"Content-Type": FORM},
        has={"message_id": "m1@shop.example", "ip": "203.0.113.4"},
    ),
    Example("postmark", {"RecordType": "Open", "MessageID": "m1", "Recipient": ANNE, "Tag": "news",
                         "ReceivedAt": "2026-11-18T08:00:00.9065619Z", "UserAgent": AGENT, "Geo": {"IP": "203.0.113.4"}},
            ["email.opened"], has={"message_id": "m1", "campaign": "news", "ip": "203.0.113.4"}),
    Example("postmark", {"RecordType": "Click", "MessageID": "m1", "Recipient": ANNE, "OriginalLink": "https://a.example/x",
                         "ReceivedAt": "2026-11-18T08:00:00.9065619-04:00"},
            ["email.clicked"], has={"link": "https://a.example/x"}),
    Example("postmark", {"RecordType": "Bounce", "Type": "HardBounce", "ID": 4, "MessageID": "m1", "Email": ANNE,
                         "BouncedAt": _TIME, "Inactive": True}, ["email.bounced"]),
    Example("postmark", {"RecordType": "Bounce", "Type": "Transient", "MessageID": "m1", "Email": ANNE}, [],
            ["Bounce Transient"]),
    Example("postmark", {"RecordType": "SubscriptionChange", "MessageID": "m1", "Recipient": ANNE, "ChangedAt": _TIME,
                         "SuppressSending": True, "SuppressionReason": "ManualSuppression"}, ["email.unsubscribed"]),
    Example("postmark", {"RecordType": "SubscriptionChange", "MessageID": "m1", "Recipient": ANNE, "ChangedAt": _TIME,
                         "SuppressSending": False}, ["email_subscribed"]),
    Example(
        "mandrill",
        _mandrill(
            {"event": "send", "_id": "a", "ts": T, "msg": {"email": ANNE}},
            {"event": "open", "_id": "a", "ts": T, "ip": "203.0.113.4", "user_agent": AGENT, "msg": {"email": ANNE}},
            {"event": "click", "_id": "a", "ts": T, "url": "https://a.example/", "msg": {"email": ANNE, "tags": ["news"]}},
            {"event": "hard_bounce", "_id": "a", "ts": T, "msg": {"email": ANNE}},
            {"event": "spam", "_id": "a", "ts": T, "msg": {"email": ANNE}},
            {"event": "unsub", "_id": "a", "ts": T, "msg": {"email": ANNE}},
            {"type": "blacklist", "action": "add", "ts": T, "reject": {"email": ANNE}},
        ),
        ["email.opened", "email.clicked", "email.bounced", "email.complained", "email.unsubscribed"],
        ["send", "blacklist"],
        headers={"Content-Type": FORM},
    ),
    Example("mailchimp", _form({"type": "subscribe", "fired_at": "2026-11-18 08:00:00", "data[id]": "i1",
                                "data[list_id]": "l1", "data[email]": ANNE, "data[merges][EMAIL]": ANNE,
                                "data[merges][FNAME]": "Anne", "data[merges][LNAME]": "Aho", "data[ip_opt]": "203.0.113.4"}),
            ["person.identified"], headers={"Content-Type": FORM},
            has={"traits": {"email": ANNE, "first_name": "Anne", "last_name": "Aho"}, "ip": "203.0.113.4"}),
    Example("mailchimp", _form({"type": "unsubscribe", "fired_at": "2026-11-18 08:00:00", "data[id]": "i1",
                                "data[email]": ANNE, "data[reason]": "manual"}), ["email.unsubscribed"]),
    Example("mailchimp", _form({"type": "cleaned", "fired_at": "2026-11-18 08:00:00", "data[email]": ANNE,
                                "data[reason]": "abuse"}), ["email.complained"]),
    Example("mailchimp", _form({"type": "campaign", "data[status]": "sent"}), [], ["campaign"]),
    Example("brevo", {"event": "click", "email": ANNE, "message-id": "<m1>", "ts_event": T, "ts": T - 9, "link": "https://a.example/",
                      "user_agent": AGENT, "ip": "203.0.113.4", "tags": ["news"]},
            ["email.clicked"], has={"link": "https://a.example/", "campaign": "news"}),
    Example("brevo", {"event": "proxy_open", "email": ANNE, "message-id": "<m1>", "ts_event": T}, ["email.opened"],
            has={"actor": "proxied"}),
    Example("brevo", [{"event": "delivered", "email": ANNE, "camp_id": 4, "campaign name": "Autumn", "ts_event": T},
                      {"event": "soft_bounce", "email": ANNE, "camp_id": 4, "ts_event": T},
                      {"event": "hard_bounce", "email": ANNE, "camp_id": 4, "ts_event": T},
                      {"event": "spam", "email": ANNE, "camp_id": 4, "ts_event": T},
                      {"event": "unsubscribe", "email": ANNE, "camp_id": 4, "ts_event": T}],
            ["email.delivered", "email.bounced", "email.complained", "email.unsubscribed"], ["soft_bounce"],
            has={"campaign": "Autumn"}),
    Example("brevo", {"event": "contact_deleted", "email": [ANNE, "ben@stella.example"], "ts": T},
            ["person.deleted", "person.deleted"]),
    Example("mailjet", [{"event": "open", "time": T, "MessageID": 94857068804950690, "email": ANNE, "ip": "203.0.113.4",
                         "agent": AGENT, "customcampaign": "news"},
                        {"event": "click", "time": T, "MessageID": 94857068804950690, "email": ANNE, "url": "https://a.example/"},
                        {"event": "bounce", "time": T, "MessageID": 1, "email": ANNE, "hard_bounce": False},
                        {"event": "unsub", "time": T, "MessageID": 1, "email": ANNE}],
            ["email.opened", "email.clicked", "email.unsubscribed"], ["bounce soft"],
            has={"message_id": "94857068804950690", "user_agent": AGENT}),
    Example("sparkpost", [{"msys": {"track_event": {"type": "click", "event_id": "1", "timestamp": str(T), "message_id": "m1",
                                                   "rcpt_to": ANNE, "target_link_url": "https://a.example/", "user_agent": AGENT,
                                                   "ip_address": "203.0.113.4"}}},
                          {"msys": {"message_event": {"type": "bounce", "bounce_class": "10", "event_id": "2",
                                                     "timestamp": str(T), "rcpt_to": ANNE}}},
                          {"msys": {"message_event": {"type": "bounce", "bounce_class": "20", "event_id": "3", "rcpt_to": ANNE}}},
                          {"msys": {"unsubscribe_event": {"type": "list_unsubscribe", "event_id": "4", "rcpt_to": ANNE}}},
                          {"msys": {}}],
            ["email.clicked", "email.bounced", "email.unsubscribed"], ["bounce soft", "ping"],
            has={"link": "https://a.example/", "ip": "203.0.113.4"}),
    Example("sparkpost", [{"msys": {"track_event": {"type": "open", "event_id": "1", "timestamp": str(T), "message_id": "m1",
                                                   "rcpt_to": ANNE, "is_prefetched": True}}}],
            ["email.opened"], has={"actor": "machine"}),
    Example("resend", {"type": "email.clicked", "created_at": _TIME, "data": {
        "email_id": "e1", "to": [f"Anne Aho <{ANNE}>"], "created_at": "2026-11-17T08:00:00Z",
        "click": {"link": "https://a.example/", "ipAddress": "203.0.113.4", "userAgent": AGENT}}},
            ["email.clicked"], headers={"svix-id": "msg_1"}, has={"link": "https://a.example/", "ip": "203.0.113.4"}),
    Example("resend", {"type": "email.opened", "created_at": _TIME, "data": {"email_id": "e1", "to": [ANNE, "b@stella.example"]}},
            ["email.opened", "email.opened"], has={"actor": "unknown"}),
    Example("customerio", _customerio("opened", prefetched=False, proxied=True), ["email.opened"], has={"actor": "proxied"}),
    Example("customerio", _customerio("clicked", href="https://a.example/", machine=True), ["email.clicked"],
            has={"actor": "machine", "link": "https://a.example/"}),
    Example("customerio", _customerio("clicked", href="https://a.example/", machine=False), ["email.clicked"],
            has={"actor": "human", "message_id": "d1"}),
    Example("customerio", _customerio("unsubscribed", "customer"), ["email.unsubscribed"]),
    Example("customerio", _customerio("sent", "sms", recipient="+358401234567"), [], ["sms sent"]),
    Example("customerio", _customerio("clicked", "push"), ["push_clicked"]),
    Example("hubspot", [_hubspot("contact.creation"), _hubspot("contact.privacyDeletion"), _hubspot("company.creation"),
                        _hubspot("object.propertyChange", objectTypeId="0-3", propertyName="dealstage", propertyValue="closedwon"),
                        _hubspot("deal.propertyChange", propertyName="dealstage", propertyValue="closedlost")],
            ["person.identified", "person.deleted", "deal.won", "deal.lost"], ["company.creation"], id="crm:hubspot:7:99"),
    Example("hubspot", {"vid": 99, "portal-id": 7, "properties": {
        "email": {"value": ANNE, "versions": [{"value": ANNE, "timestamp": T * 1000}]}, "jobtitle": {"value": "VP Operations"}}},
            ["person.identified"], has={"traits": {"email": ANNE, "title": "VP Operations"}}),
    Example("hubspot", {"hasMore": False, "events": [
        {"type": "OPEN", "id": "o1", "created": T * 1000, "recipient": ANNE, "filteredEvent": True},
        {"type": "CLICK", "id": "c1", "created": T * 1000, "recipient": ANNE, "url": "https://a.example/"},
        {"type": "SENT", "id": "s1", "created": T * 1000, "recipient": ANNE}]},
            ["email.opened", "email.clicked"], ["SENT"], has={"actor": "machine"}),
    Example("activecampaign", _form({"type": "click", "date_time": _STAMP, "contact[id]": "3", "contact[email]": ANNE,
                                     "contact[first_name]": "Anne", "contact[ip]": "203.0.113.4", "contact[fields][title]": "CEO",
                                     "campaign[id]": "9", "campaign[name]": "Autumn", "link[id]": "2",
                                     "link[url]": "https://a.example/"}),
            ["email.clicked"], headers={"Content-Type": FORM},
            has={"link": "https://a.example/", "campaign": "Autumn", "traits": {"title": "CEO", "first_name": "Anne"}}),
    Example("activecampaign", _form({"type": "deal_update", "date_time": _STAMP, "deal[id]": "4", "deal[status]": "1",
                                     "deal[contact_email]": ANNE}), ["deal.won"]),
    Example("activecampaign", _form({"type": "sent", "contact[email]": ANNE}), [], ["sent"]),
    Example("marketo", {"event": "Clicks Link in Email", "asset": "Autumn.Mail 1", "lead_id": "12", "email": ANNE,
                        "title": "CEO", "company": "{{lead.Company}}", "link": "https://a.example/", "time": _TIME},
            ["email.clicked"], has={"link": "https://a.example/", "traits": {"email": ANNE, "title": "CEO"}}),
    Example("marketo", {"event": "Fills Out Form", "asset": "Request a Demo", "email": ANNE, "time": _TIME}, ["demo.requested"]),
    Example("marketo", {"success": True, "result": [
        {"id": 1, "marketoGUID": "1", "leadId": 12, "activityDate": _TIME, "activityTypeId": 11,
         "attributes": [{"name": "Link", "value": "https://a.example/"}]},
        {"id": 2, "marketoGUID": "2", "leadId": 12, "activityDate": _TIME, "activityTypeId": 6}]},
            ["email.clicked"], ["activity 6"], id="crm:marketo:12", has={"link": "https://a.example/"}),
    Example("mautic", {
        "mautic.email_on_open": [{"stat": {"id": 8, "emailAddress": ANNE, "openCount": 1, "lastOpened": _STAMP, "ipAddress": [],
                                           "lead": _mautic_contact()}, "timestamp": _STAMP}],
        "mautic.page_on_hit": [
            {"hit": {"id": 4, "dateHit": _STAMP, "url": "https://shop.example/pricing", "redirect": None, "source": None,
                     "trackingId": "abc123", "userAgent": AGENT, "lead": _mautic_contact()}, "timestamp": _STAMP},
            {"hit": {"id": 5, "dateHit": _STAMP, "url": "https://x.example/r/1", "source": "email", "sourceId": 7,
                     "redirect": {"id": 1, "url": "https://shop.example/a"}, "lead": _mautic_contact()}}],
        "mautic.form_on_submit": [{"submission": {"id": 6, "dateSubmitted": _STAMP, "form": {"name": "Contact sales"},
                                                  "results": {"email": ANNE}, "lead": _mautic_contact()}}],
        "mautic.lead_post_delete": [{"id": 26, "contact": _mautic_contact(), "timestamp": _STAMP}],
        "mautic.email_on_send": [{"email": {}}],
        "timestamp": _STAMP},
            ["email.opened", "page.viewed", "email.clicked", "demo.requested", "person.deleted"], ["email_on_send"],
            headers={"X-Origin-Base-URL": "https://mautic.example/"},
            has={"traits": {"email": ANNE, "title": "VP Operations", "company": "Nordwind"}}),
    Example("intercom", {"type": "notification_event", "app_id": "app", "id": "notif_1", "topic": "contact.user.created",
                         "created_at": T, "data": {"item": {"type": "contact", "id": "c1", "email": ANNE, "name": "Anne Aho",
                                                            "external_id": "u7", "last_seen_ip": 123,
                                                            "custom_attributes": {"job_title": "CEO"},
                                                            "companies": {"companies": [{"name": "Nordwind"}]}}}},
            ["person.identified"], has={"traits": {"title": "CEO", "name": "Anne Aho", "company": "Nordwind"}}),
    Example("intercom", {"id": None, "topic": "ping", "data": {"item": {"type": "ping"}}}, [], ["ping"]),
    Example("intercom", {"id": "n2", "app_id": "app", "topic": "conversation.user.replied", "created_at": T, "data": {"item": {
        "type": "conversation", "id": "v1", "source": {"author": {"type": "user", "id": "c1", "email": ANNE}}}}}, ["email.replied"]),
    Example("intercom", {"id": "n3", "app_id": "app", "topic": "contact.unsubscribed", "created_at": T,
                         "data": {"item": {"type": "contact", "id": "c1", "email": ANNE}}}, ["email.unsubscribed"]),
    Example("calendly", {"event": "invitee.created", "created_at": _TIME, "payload": {
        "uri": "https://api.calendly.example/e/1/invitees/1", "email": ANNE, "name": "Anne Aho", "old_invitee": None,
        "questions_and_answers": [{"question": "Company", "answer": "Nordwind"}],
        "scheduled_event": {"name": "Demo", "event_memberships": [{"user_email": "rep@shop.example"}]},
        "tracking": {"utm_campaign": "autumn"}}},
            ["meeting.booked"], has={"campaign": "autumn", "name": "Demo", "traits": {
                "company": "Nordwind", "name": "Anne Aho", "meeting_host": "rep@shop.example"}}),
    Example("calendly", {"event": "invitee.canceled", "created_at": _TIME, "payload": {"uri": "u1", "email": ANNE}},
            ["meeting.canceled"]),
    Example("calendly", {"event": "invitee.canceled", "created_at": _TIME,
                         "payload": {"uri": "u1", "email": ANNE, "rescheduled": True}}, [], ["invitee.canceled rescheduled"]),
    Example("typeform", {"event_id": "e1", "event_type": "form_response", "form_response": {
        "token": "t1", "submitted_at": _TIME, "hidden": {"user_id": "u7", "utm_campaign": "autumn"},
        "definition": {"title": "Contact us", "fields": [{"id": "f1", "title": "Which company do you work for?"},
                                                          {"id": "f2", "title": "Mail"}]},
        "answers": [{"type": "text", "text": "Nordwind", "field": {"id": "f1"}},
                    {"type": "email", "email": ANNE, "field": {"id": "f2"}},
                    {"type": "choice", "choice": {"label": "Finland"}, "field": {"id": "f3", "ref": "country"}}]}},
            ["form.submitted"], has={"campaign": "autumn", "traits": {"company": "Nordwind", "country": "Finland"}}),
    Example("typeform", {"event_id": "e2", "event_type": "form_response_partial", "form_response": {"token": "t1"}}, [],
            ["form_response_partial"]),
    Example("iterable", {"email": ANNE, "eventName": "emailOpen", "dataFields": {
        "createdAt": "2026-11-18 08:00:00 +00:00", "messageId": "m1", "proxySource": "Gmail", "userAgent": AGENT,
        "campaignName": "Autumn"}}, ["email.opened"], has={"actor": "proxied", "campaign": "Autumn", "message_id": "m1"}),
    Example("iterable", {"email": ANNE, "eventName": "emailClick", "dataFields": {
        "createdAt": "2026-11-18 08:00:00 +00:00", "messageId": "m1", "url": "https://a.example/"}},
            ["email.clicked"], has={"link": "https://a.example/"}),
    Example("iterable", {"email": ANNE, "eventName": "emailBounce", "dataFields": {"recipientState": "SoftBounce"}}, [],
            ["emailBounce soft"]),
    Example("iterable", {"email": ANNE, "eventName": "customEvent", "dataFields": {
        "eventName": "Webinar Attended", "createdAt": "2026-11-18 08:00:00 +00:00"}}, ["webinar.attended"]),
    Example("braze", {"events": [
        {"id": "1", "time": T, "event_type": "users.messages.email.Click", "user": {"user_id": "b1", "external_user_id": "u7"},
         "properties": {"email_address": ANNE, "url": "https://a.example/", "dispatch_id": "d1", "campaign_name": "Autumn"}},
        {"id": "2", "time": T, "event_type": "users.messages.email.Open", "user": {"user_id": "b1"},
         "properties": {"machine_open": True}},
        {"id": "3", "time": T, "event_type": "users.messages.email.Send", "user": {"user_id": "b1"}},
        {"id": "4", "time": T, "event_type": "users.behaviors.CustomEvent", "user": {"user_id": "b1"},
         "properties": {"name": "Demo Requested"}},
        {"id": "5", "time": T, "event_type": "users.behaviors.subscription.GlobalStateChange", "user": {"user_id": "b1"},
         "properties": {"channel": "email", "subscription_status": "Unsubscribed"}}]},
            ["email.clicked", "email.opened", "demo.requested", "email.unsubscribed"], ["users.messages.email.Send"],
            has={"link": "https://a.example/", "campaign": "Autumn"}),
    Example("vero", {"type": "clicked", "clicked_at": T, "message_id": "m1", "url": "https://a.example/", "user_agent": AGENT,
                     "user": {"id": 123, "email": ANNE}, "campaign": {"name": "Autumn"}},
            ["email.clicked"], has={"link": "https://a.example/", "campaign": "Autumn"}),
    Example("vero", {"type": "user_created", "user": {"id": 123, "email": ANNE}, "firstname": "Anne", "company": "Nordwind"},
            ["person.identified"], has={"traits": {"first_name": "Anne", "company": "Nordwind"}}),
    Example("unbounce", _form({"page_name": "Autumn page", "page_url": "https://p.example/a", "data.json": json.dumps(
        {"email": [ANNE], "company": ["Nordwind"], "ip_address": ["203.0.113.4"], "date_submitted": ["2026-11-18"],
         "time_submitted": ["11:45 AM UTC"], "page_url": ["https://p.example/a"]}), "data.xml": "<form_data/>"}),
            ["form.submitted"], headers={"Content-Type": FORM},
            has={"url": "https://p.example/a", "ip": "203.0.113.4", "traits": {"email": ANNE, "company": "Nordwind"}}),
    Example("formsort", {"answers": {"enter_email": ANNE, "company_name": "Nordwind"}, "responder_uuid": "r1",
                         "variant_uuid": "v1", "flow_label": "quiz", "finalized": True, "created_at": _STAMP},
            ["form.submitted"], has={"traits": {"email": ANNE, "company": "Nordwind"}}),
    Example("formsort", {"answers": {"enter_email": ANNE}, "responder_uuid": "r1", "finalized": False}, [], ["partial"]),
    Example("ortto", {"activity": {"id": "a1", "field_id": "act::o", "created": _TIME, "attr": {}},
                      "contact": {"contact_id": "c1", "email": ANNE}, "id": "x1", "time": _TIME}, ["email.opened"]),
    Example("ortto", {"activity": {"id": "a2", "field_id": "act:cm:demo-requested", "created": _TIME},
                      "contact": {"contact_id": "c1", "email": ANNE}}, ["demo.requested"]),
    Example("close_crm", {"subscription_id": "s1", "event": {
        "id": "ev1", "action": "updated", "object_type": "opportunity", "object_id": "o1", "date_created": "2026-11-18T08:00:00",
        "changed_fields": ["status_type"], "data": {"status_type": "won", "contact_id": "cont_1", "lead_name": "Nordwind"}}},
            ["deal.won"], id="crm:close:cont_1"),
    Example("close_crm", {"event": {
        "id": "ev2", "action": "created", "object_type": "contact", "object_id": "cont_1", "date_created": "2026-11-18T08:00:00",
        "data": {"name": "Anne Aho", "title": "CEO", "emails": [{"type": "office", "email": ANNE}]}}},
            ["person.identified"], has={"traits": {"name": "Anne Aho", "title": "CEO"}}),
    Example("close_crm", {"event": {"id": "ev3", "action": "updated", "object_type": "opportunity", "changed_fields": ["note"],
                                    "data": {"status_type": "won"}}}, [], ["opportunity.updated"]),
    Example("facebook_lead_ads", {"object": "page", "entry": [{"id": "p1", "time": T, "changes": [
        {"field": "leadgen", "value": {"created_time": T, "leadgen_id": "44", "page_id": "p1", "form_id": "f1"}},
        {"field": "feed", "value": {}}]}]}, ["form.submitted"], ["feed"], id="crm:facebook:44", has={"campaign": "f1"}),
    Example("facebook_lead_ads", {"leadgen_id": "44", "created_time": T, "field_data": [
        {"name": "email", "values": [ANNE]}, {"name": "job_title", "values": ["CEO"]}]},
            ["form.submitted"], has={"traits": {"email": ANNE, "title": "CEO"}}),
    Example("pipedrive", {"v": 1, "event": "updated.deal", "meta": {"action": "updated", "object": "deal", "id": 5, "company_id": 9},
                          "current": {"id": 5, "status": "won", "person_id": 11, "won_time": "2026-11-18 08:00:00"},
                          "previous": {"id": 5, "status": "open"}}, ["deal.won"], id="crm:pipedrive:9:11"),
    Example("pipedrive", {"meta": {"action": "change", "entity": "deal", "entity_id": "5", "company_id": "9", "version": "2.0",
                                   "timestamp": _TIME}, "data": {"id": 5, "status": "lost", "person_id": 11},
                          "previous": {"status": "open"}}, ["deal.lost"], id="crm:pipedrive:9:11"),
    Example("pipedrive", {"meta": {"action": "change", "entity": "deal", "entity_id": "5"}, "data": {"status": "won"},
                          "previous": {"value": 3}}, [], ["change.deal"]),
    Example("pipedrive", {"meta": {"action": "create", "entity": "person", "entity_id": "11", "company_id": "9",
                                   "timestamp": _TIME}, "data": {"name": "Anne Aho", "emails": [
                                       {"value": "old@nordwind.example", "primary": False}, {"value": ANNE, "primary": True}]}},
            ["person.identified"], has={"traits": {"name": "Anne Aho"}}),
    Example("salesforce", {"object": "Opportunity", "Id": "006", "StageName": "Closed Won", "LastModifiedDate": _TIME,
                           "ContactId": "003", "ContactEmail": ANNE, "Account": {"Name": "Nordwind"}},
            ["deal.won"], has={"traits": {"company": "Nordwind"}}),
    Example("salesforce", {"object": "Opportunity", "Id": "006", "StageName": "Perdu", "IsClosed": True, "IsWon": False,
                           "ContactEmail": ANNE}, ["deal.lost"]),
    Example("salesforce", {"object": "Opportunity", "Id": "006", "StageName": "Prospecting"}, [], ["opportunity Prospecting"]),
    Example("json", {"event": "Form Submitted", "email": ANNE, "time": _TIME, "id": "j1"}, ["form.submitted"]),
    Example("posthog", {"api_key": "k", "sent_at": _TIME, "batch": [
        {"event": "$pageview", "uuid": "p1", "distinct_id": ANNE, "timestamp": _TIME,
         "properties": {"$current_url": "https://shop.example/pricing", "$device_id": "0190d9a0-1111-7222-8333-444455556666"}},
        {"event": "$autocapture", "uuid": "p2", "distinct_id": "x"},
        {"event": "Demo Requested", "uuid": "p3", "distinct_id": "u7", "properties": {"plan": "a"}}]},
            ["page.viewed", "demo.requested"], ["$autocapture"], has={"path": "/pricing"}),
    Example("snowplow", {"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": [
        {"e": "pv", "eid": "s1", "uid": ANNE, "duid": "d1", "aid": "k", "dtm": str(T * 1000), "stm": str(T * 1000),
         "url": "https://shop.example/pricing", "page": "Prices", "p": "web", "tv": "js-4"},
        {"e": "pp", "eid": "s2", "duid": "d1"},
        {"e": "ue", "eid": "s3", "duid": "d1", "ue_px": base64.urlsafe_b64encode(json.dumps(
            {"schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0", "data": {
                "schema": "iglu:com.snowplowanalytics.snowplow/submit_form/jsonschema/1-0-0", "data": {"formId": "f"}}}
        ).encode()).decode().rstrip("=")}]},
            ["page.viewed", "form.submitted"], ["page ping"], has={"path": "/pricing", "name": "Prices"}),
    Example("segment", {"type": "track", "event": "Email Opened", "messageId": "m1", "properties": {"email": ANNE}},
            ["email.opened"]),
    Example("cloudevents", {"specversion": "1.0", "id": "1", "source": "/x", "type": "leadrouter.email.opened.v1", "subject": ANNE},
            ["email.opened"]),
    Example("standardwebhooks", {"type": "contact.created", "timestamp": _TIME, "data": {"email": ANNE}},
            ["person.identified"], headers={"webhook-id": "m1"}),
]  # fmt: skip
