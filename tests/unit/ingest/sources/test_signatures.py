"""Signatures of every scheme: made here as the vendor does, then bent in each way that must be refused."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.ingest.sources.reading import NOW, form, verified

BODY = b'{"event":"x","n":1}\r\n'
SECRET = "s3cret"
STAMP = str(int(NOW.timestamp()))


def mac(content: bytes, algorithm: str = "sha256", secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), content, algorithm).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


URL = "https://leads.example/hooks/s1?x=a%20b"
SIGNED: dict[str, dict[str, str]] = {
    "typeform": {"Typeform-Signature": "sha256=" + b64(mac(BODY))},
    "intercom": {"X-Hub-Signature": "sha1=" + mac(BODY, "sha1").hex()},
    "facebook_lead_ads": {"X-Hub-Signature-256": "sha256=" + mac(BODY).hex()},
    "mautic": {"Webhook-Signature": b64(mac(BODY))},
    "formsort": {"X-Formsort-Signature": base64.urlsafe_b64encode(mac(BODY)).rstrip(b"=").decode()},
    "calendly": {"Calendly-Webhook-Signature": f"t={STAMP},v1={mac(f'{STAMP}.'.encode() + BODY).hex()}"},
    "customerio": {
        "X-CIO-Timestamp": STAMP,
        "X-CIO-Signature": mac(f"v0:{STAMP}:".encode() + BODY).hex(),
    },
    "hubspot": {
        "X-HubSpot-Request-Timestamp": STAMP + "000",
        "X-HubSpot-Signature-v3": b64(mac(f"POST{URL}".encode() + BODY + f"{STAMP}000".encode())),
    },
    "resend": {
        "svix-id": "msg_1",
        "svix-timestamp": STAMP,
        "svix-signature": "v1," + b64(hmac.new(b"key-of-resend", f"msg_1.{STAMP}.".encode() + BODY, "sha256").digest()),
    },
    "segment": {"X-Signature": mac(BODY, "sha1").hex()},
}
SECRETS = {"resend": "whsec_" + b64(b"key-of-resend")}


@pytest.mark.parametrize("platform", SIGNED)
def test_what_the_vendor_signs_is_accepted_and_nothing_else(platform: str) -> None:
    headers, secret = SIGNED[platform], SECRETS.get(platform, SECRET)

    def check(secrets: list[str], body: bytes = BODY, given: dict[str, str] = headers, **more: Any) -> str | None:
        return verified(platform, secrets, body, given, url=URL, **more)

    assert check([secret]) is None
    assert check(["newer", secret]) is None
    assert check(["other"]) is not None
    assert check([secret], BODY.strip()) is not None
    assert check([secret], BODY.replace(b"1", b"2")) is not None
    assert check([secret], given={}) is not None
    for name, value in headers.items():
        assert check([secret], given={**headers, name: "\xff" + value}) is not None
        assert check([secret], given={**headers, name: value.replace("1", "2").replace("a", "b")}) is not None
        assert check([secret], given={**headers, name: ""}) is not None


@pytest.mark.parametrize(("platform", "seconds"), [("hubspot", 300), ("calendly", 180), ("resend", 300)])
def test_a_time_window_holds_in_both_directions(platform: str, seconds: int) -> None:
    secret = SECRETS.get(platform, SECRET)
    for shift in (-seconds - 1, seconds + 1):
        at = NOW + timedelta(seconds=shift)
        assert verified(platform, [secret], BODY, SIGNED[platform], url=URL, now=at) is not None
    for shift in (-seconds + 1, seconds - 1):
        at = NOW + timedelta(seconds=shift)
        assert verified(platform, [secret], BODY, SIGNED[platform], url=URL, now=at) is None


def test_hubspot_decodes_only_some_escapes_and_takes_no_unkeyed_hash() -> None:
    url = "https://leads.example/hooks/s1?to=a%40b&x=%20"
    signed = "https://leads.example/hooks/s1?to=a@b&x=%20"
    headers = {
        "X-HubSpot-Request-Timestamp": STAMP + "000",
        "X-HubSpot-Signature-v3": b64(mac(f"POST{signed}".encode() + BODY + f"{STAMP}000".encode())),
    }
    assert verified("hubspot", [SECRET], BODY, headers, url=url) is None
    weak = {"X-HubSpot-Signature": hashlib.sha256(SECRET.encode() + BODY).hexdigest()}
    assert verified("hubspot", [SECRET], BODY, weak, url=url) is not None
    assert verified("hubspot", [SECRET], BODY, {"X-Api-Key": SECRET}, url=url) is None  # a workflow's own header


def test_sendgrid_signs_stamp_and_raw_body_with_its_private_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    signature = b64(key.sign(STAMP.encode() + BODY, ec.ECDSA(hashes.SHA256())))
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": STAMP,
    }
    assert verified("sendgrid", [b64(der)], BODY, headers) is None
    assert verified("sendgrid", ["no key", pem], BODY, headers) is None
    assert verified("sendgrid", ["no key"], BODY, headers) is not None
    assert verified("sendgrid", [b64(der)], BODY.strip(), headers) is not None
    assert (
        verified("sendgrid", [b64(der)], BODY, {**headers, "X-Twilio-Email-Event-Webhook-Timestamp": "1"}) is not None
    )
    assert (
        verified("sendgrid", [b64(der)], BODY, {**headers, "X-Twilio-Email-Event-Webhook-Signature": "AAAA"})
        is not None
    )
    assert verified("sendgrid", [b64(der)], BODY, {}) is not None


def test_mailgun_signs_a_token_inside_the_body() -> None:
    signed = {"timestamp": STAMP, "token": "t1", "signature": mac(f"{STAMP}t1".encode()).hex()}
    event = {"event": "opened", "recipient": "anne@nordwind.example"}
    assert verified("mailgun", [SECRET], {"signature": signed, "event-data": event}) is None
    assert verified("mailgun", [SECRET], form({**event, **signed})) is None
    assert verified("mailgun", [SECRET], {"signature": {**signed, "token": "t2"}, "event-data": event}) is not None
    for broken in (
        {},
        {"signature": [1]},
        {"signature": {**signed, "token": ["t1"]}},
        {"signature": {**signed, "signature": 5}},
    ):
        assert verified("mailgun", [SECRET], broken) is not None
    assert verified("mailgun", [SECRET], b"{") is not None
    assert verified("mailgun", [SECRET], b"") is not None


def test_mandrill_signs_the_address_and_every_field() -> None:
    fields = {"mandrill_events": json.dumps([{"event": "open"}]), "a": "1"}
    url = "https://leads.example/hooks/s1?z=1"
    content = url + "a1" + "mandrill_events" + fields["mandrill_events"]
    headers = {"X-Mandrill-Signature": b64(mac(content.encode(), "sha1"))}
    assert verified("mandrill", [SECRET], form(fields), headers, url=url) is None
    assert verified("mandrill", [SECRET], form(fields), headers, url=url + "0") is not None
    assert verified("mandrill", [SECRET], form({**fields, "a": "2"}), headers, url=url) is not None
    assert verified("mandrill", [SECRET], form(fields), {}, url=url) is not None
    assert verified("mandrill", [SECRET], form({"mandrill_events": "[]"}), {}, url=url) is None  # the set-up's probe
    assert verified("mandrill", [SECRET], form({"mandrill_events": "[]", "a": "1"}), {}, url=url) is not None
    assert verified("mandrill", [SECRET], b"", {}, url=url) is not None


def test_close_writes_its_key_in_hex() -> None:
    key = "00ff10ab"
    made = hmac.new(bytes.fromhex(key), STAMP.encode() + BODY, "sha256").hexdigest()
    headers = {"close-sig-hash": made, "close-sig-timestamp": STAMP}
    assert verified("close_crm", [key], BODY, headers) is None
    assert verified("close_crm", ["not hex", key], BODY, headers) is None
    assert verified("close_crm", ["ab"], BODY, headers) is not None
    assert verified("close_crm", [key], BODY + b" ", headers) is not None
    assert verified("close_crm", [key], BODY, {}) is not None


@pytest.mark.parametrize(
    "platform",
    ["postmark", "mailchimp", "brevo", "mailjet", "sparkpost", "activecampaign", "marketo", "iterable", "braze", "vero",
     "unbounce", "ortto", "pipedrive", "salesforce", "json"],
)  # fmt: skip
def test_platforms_that_sign_nothing_repeat_a_password(platform: str) -> None:
    def basic(text: str) -> dict[str, str]:
        return {"Authorization": f"Basic {b64(text.encode())}"}

    for headers in (
        basic(f"anything:{SECRET}"), basic(f"{SECRET}:"), {"Authorization": f"Bearer {SECRET}"}, {"X-Api-Key": SECRET},
    ):  # fmt: skip
        assert verified(platform, [SECRET], BODY, headers) is None
        assert verified(platform, ["other"], BODY, headers) is not None
        assert verified(platform, ["newer", SECRET], BODY, headers) is None
    assert verified(platform, ["user:pass"], BODY, basic("user:pass")) is None
    assert verified(platform, [SECRET], BODY, {}, query={"secret": SECRET}) is None
    assert verified(platform, [SECRET], BODY, {}) is not None
    assert verified(platform, [SECRET], BODY, {"Authorization": "Basic ?"}) is not None
    assert verified(platform, [SECRET], BODY, {}, query={"secret": "no"}) is not None
