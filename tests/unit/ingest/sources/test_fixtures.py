"""Real payloads and signature vectors, where their folder lies beside the project: each becomes what its kind says.

Nothing of them is copied here: the table names files and our own words for them.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.ingest.sources.reading import Read, read, verified

FOLDER = Path(__file__).parents[5] / "shared" / "fixtures"
MISSING = f"real payloads are not here ({FOLDER}); the own examples in test_examples.py cover every platform"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=MISSING)

# What a file must become: our signals in their order, then after `-` the types that are counted as ignored, and after
# `!` the reasons of what cannot be used. A file that is not named follows the rule of its event's name.
EXACT: dict[str, str] = {
    "activecampaign/subscribe.txt": "person.identified",
    "activecampaign/update.txt": "person.identified",
    "braze/CustomEvent.json": "customeventname",
    "brevo/request.json": "- request",
    "calendly/invitee.created.json": "meeting.booked",
    "calendly/invitee.created-reschedule.json": "meeting.booked",
    "close_crm/opportunity-updated.json": "deal.won",
    "cloudevents/batch.json": "! no_id no_id",
    "customerio/email-converted.json": "email_converted",
    "customerio/email-sent.json": "- sent",
    "customerio/email-subscribed.json": "email_subscribed",
    "customerio/openapi-email-sent.json": "- sent",
    "customerio/openapi-sms-sent.json": "- sms_sent",
    "customerio/webhook-drafted.json": "- webhook_drafted",
    "customerio/webhook-sent.json": "- webhook_sent",
    "facebook_lead_ads/native-leadgen.json": "form.submitted form.submitted form.submitted ! field_missing",
    "formsort/finalized.json": "form.submitted",
    "hubspot/contact.creation.json": "person.identified",
    "hubspot/contact.deletion-batch.json": "person.deleted person.deleted",
    "hubspot/contact.propertyChange.json": "person.identified",
    "hubspot/object.propertyChange.json": "person.identified",
    "hubspot/workflow-contact.json": "person.identified",
    "intercom/contact.added_email.json": "person.identified",
    "intercom/contact.created.json": "person.identified",
    "intercom/ping.json": "- ping",
    "iterable/emailSubscribe.json": "email_subscribed",
    "mailchimp/campaign.txt": "- campaign",
    "mailchimp/cleaned.txt": "email.bounced",
    "mailchimp/subscribe.txt": "person.identified",
    "mailchimp/subscribe-groups.txt": "person.identified",
    "mailgun/failed-permanent.json": "email.bounced",
    "mailgun/failed-temporary.json": "- temporary_fail",
    "mailjet/open-batch.json": "email.opened email.clicked",
    "mandrill/batch-10-events.txt": "email.delivered email.bounced email.opened email.clicked email.complained"
    " email.unsubscribed - send deferral soft_bounce reject",
    "marketo/rest-activities-page.json": "person.identified marketo_activity_14 person.identified person.identified"
    " person.identified - activity_14",
    "mautic/lead_points_change.json": "person.identified",
    "mautic/lead_post_delete.json": "person.deleted",
    "mautic/multi-type-batch.json": "email.opened email.opened page.viewed",
    "mautic/page_on_hit.json": "page.viewed",
    "ortto/resubscribe.json": "email_subscribed",
    "postmark/subscription-change-resubscribe.json": "email_subscribed",
    "segment/http-batch.json": "person.identified song_played person.identified song_played",
    "segment/http-group.json": "account.updated",
    "segment/http-identify-integrations.json": "person.identified",
    "segment/http-page.json": "page.viewed",
    "segment/webhook-delete.json": "person.deleted",
    "segment/webhook-group.json": "account.updated",
    "segment/webhook-identify.json": "person.identified",
    "segment/webhook-track.json": "purchased_an_item",
    "sendgrid/batch-marketing-campaign.json": "email.delivered email.opened email.clicked email.bounced email.bounced"
    " email.complained email.unsubscribed email.unsubscribed email_subscribed - processed deferred",
    "sendgrid/batch-signed.json": "email.delivered email.opened email.clicked email.bounced email.bounced"
    " email.complained email.unsubscribed email.unsubscribed email_subscribed - processed deferred",
    "sparkpost/amp_click.json": "email.clicked",
    "sparkpost/click-mixed-batch.json": "email.delivered email.clicked - generation_failure",
    "sparkpost/injection.json": "- injection",
    "sparkpost/ping.json": "- ping",
    "standardwebhooks/generic.json": "person.identified",
    "typeform/form_response.json": "form.submitted",
    "unbounce/form-submit.txt": "! no_id",
    "vero/user_created.json": "person.identified",
    "vero/user_updated.json": "person.identified",
}
RULES = {
    "unsub": "email.unsubscribed",
    "open": "email.opened",
    "click": "email.clicked",
    "bounce": "email.bounced",
    "spam": "email.complained",
    "complain": "email.complained",
    "deliver": "email.delivered",
}
ACTORS = {
    "sendgrid/opened-machine.json": "machine",
    "mailgun/opened-bot-apple.json": "machine",
    "iterable/emailOpen-gmail-proxy.json": "proxied",
}


def manifest() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "manifest.json").read_text()) if FOLDER.is_dir() else []


def expected(entry: dict[str, Any]) -> str:
    if entry["file"] in EXACT:
        return EXACT[entry["file"]]
    name = entry["event"].casefold()
    return next(signal for word, signal in RULES.items() if word in name)


def shown(found: Read) -> str:
    words = list(found.signals)
    if found.ignored:
        words += ["-", *(kind.replace(" ", "_") for kind in found.ignored)]
    if found.bad:
        words += ["!", *found.bad]
    return " ".join(words)


def parse(entry: dict[str, Any]) -> Read:
    headers = {"content-type": entry["content_type"], **entry.get("headers", {})}
    kind = entry["path"].rpartition("/")[2] if "path" in entry else "hook"
    return read(entry["platform"], (FOLDER / entry["file"]).read_bytes(), headers, kind=kind)


@pytest.mark.parametrize("entry", manifest(), ids=lambda entry: entry["file"])
def test_it_becomes_what_its_kind_says(entry: dict[str, Any]) -> None:
    found = parse(entry)
    assert found.refused is None
    assert shown(found) == expected(entry)
    if entry["file"] in ACTORS:
        assert found.one.actor == ACTORS[entry["file"]]


def test_none_is_forgotten() -> None:
    assert len(manifest()) > 50
    assert {entry["platform"] for entry in manifest()} - {"cloudevents", "segment", "standardwebhooks"}


def vectors() -> list[Path]:
    return sorted((FOLDER / "signatures").glob("*.json")) if FOLDER.is_dir() else []


def _arguments(vector: dict[str, Any]) -> tuple[bytes, dict[str, str], dict[str, Any]]:
    raw = (FOLDER / vector["body_file"]).read_bytes() if "body_file" in vector else vector["body"].encode()
    stamp = vector.get("now_for_tolerance") or vector.get("now_for_tolerance_ms", 0) / 1000
    now = datetime.fromtimestamp(stamp, UTC) if stamp else datetime(2026, 11, 20, tzinfo=UTC)
    more: dict[str, Any] = {"now": now, "method": vector.get("method", "POST")}
    if "url" in vector:
        more["url"] = vector["url"]
    return raw, dict(vector.get("headers", {})), more


@pytest.mark.parametrize("path", vectors(), ids=lambda path: path.stem)
def test_a_vector_is_accepted_and_every_negative_refused(path: Path) -> None:
    vector = json.loads(path.read_text())
    platform = vector["platform"]
    if platform == "slack":
        pytest.skip("outgoing: the notify room verifies Slack's buttons")
    secret = vector.get("secret") or vector["public_key"]
    raw, headers, more = _arguments(vector)
    assert verified(platform, [secret], raw, headers, **more) is None
    assert verified(platform, ["another secret", secret], raw, headers, **more) is None  # rotation
    for other in vector.get("secret_variants", []):
        assert verified(platform, [other], raw, headers, **more) is None

    assert verified(platform, ["bm90IHRoaXMgb25l"], raw, headers, **more) is not None
    assert verified(platform, [secret], raw, {}, **more) is not None or platform == "mailgun"
    if platform != "mailgun":  # its signature stands in the body and covers a token only
        assert verified(platform, [secret], raw + b" ", headers, **more) is not None
        stripped = raw.rstrip()
        if stripped != raw:
            assert verified(platform, [secret], stripped, headers, **more) is not None
        for name in headers:
            broken = {**headers, name: headers[name][:-2] + "xx"}
            assert verified(platform, [secret], raw, broken, **more) is not None, name
    for name in ("now_for_tolerance", "now_for_tolerance_ms"):
        if name in vector:
            for shift in (-330, 330):
                at = datetime.fromtimestamp(more["now"].timestamp() + shift, UTC)
                assert verified(platform, [secret], raw, headers, **{**more, "now": at}) is not None, shift


def test_the_vectors_own_lists_of_what_else_holds_and_what_never_does() -> None:
    for path in vectors():
        vector = json.loads(path.read_text())
        raw, headers, more = _arguments(vector)
        header = next((name for name in headers if name.lower().endswith("-signature")), "")
        for good in vector.get("accept_also", []):
            assert verified(vector["platform"], [vector["secret"]], raw, {**headers, header: good}, **more) is None
        for bad in vector.get("reject", []):
            assert verified(vector["platform"], [vector["secret"]], raw, {**headers, header: bad}, **more) is not None
        if "svix_headers" in vector:
            assert verified("resend", [vector["secret"]], raw, vector["svix_headers"], **more) is None
        negative = vector.get("negative")
        if isinstance(negative, dict):
            body = msgspec.json.decode(raw)
            body["signature"] |= negative
            changed = msgspec.json.encode(body)
            assert verified(vector["platform"], [vector["secret"]], changed, headers, **more) is not None
        for name, value in vector.get("also", {}).items():
            version = name.split(" ")[0]
            weak = {f"x-hubspot-signature-{version}": value, "x-hubspot-signature": value}
            assert verified("hubspot", [vector["secret"]], raw, weak, **more) is not None, name
