"""Requests signed as each platform signs them, for the benches: they measure what a good request costs."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SECRET = "bench-secret"
_KEY = ec.generate_private_key(ec.SECP256R1())
SENDGRID_KEY = base64.b64encode(
    _KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
Signs = Callable[[bytes, int, str], Mapping[str, str]]  # body, seconds, address


def _mac(content: bytes, algorithm: str = "sha256", key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, content, algorithm).digest()


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _sendgrid(body: bytes, at: int, _: str) -> Mapping[str, str]:
    made = _KEY.sign(str(at).encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        "x-twilio-email-event-webhook-signature": _b64(made),
        "x-twilio-email-event-webhook-timestamp": str(at),
    }


def _webhook(prefix: str) -> Signs:
    def sign(body: bytes, at: int, _: str) -> Mapping[str, str]:
        id_ = "msg_" + hashlib.blake2b(body, digest_size=8).hexdigest()
        made = _mac(f"{id_}.{at}.".encode() + body)
        return {f"{prefix}-id": id_, f"{prefix}-timestamp": str(at), f"{prefix}-signature": f"v1,{_b64(made)}"}

    return sign


def _mandrill(body: bytes, _: int, url: str) -> Mapping[str, str]:
    fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
    content = url + "".join(name + value for name, value in fields)
    return {"x-mandrill-signature": _b64(_mac(content.encode(), "sha1"))}


SIGNERS: Mapping[str, Signs] = {
    "calendly": lambda b, at, _: {"calendly-webhook-signature": f"t={at},v1={_mac(f'{at}.'.encode() + b).hex()}"},
    "close_crm": lambda b, at, _: {
        "close-sig-timestamp": str(at),
        "close-sig-hash": _mac(str(at).encode() + b).hex(),
    },
    "customerio": lambda b, at, _: {
        "x-cio-timestamp": str(at),
        "x-cio-signature": _mac(f"v0:{at}:".encode() + b).hex(),
    },
    "facebook_lead_ads": lambda b, *_: {"x-hub-signature-256": "sha256=" + _mac(b).hex()},
    "formsort": lambda b, *_: {"x-formsort-signature": base64.urlsafe_b64encode(_mac(b)).rstrip(b"=").decode()},
    "hubspot": lambda b, at, url: {
        "x-hubspot-request-timestamp": f"{at}000",
        "x-hubspot-signature-v3": _b64(_mac(b"POST" + url.encode() + b + f"{at}000".encode())),
    },
    "intercom": lambda b, *_: {"x-hub-signature": "sha1=" + _mac(b, "sha1").hex()},
    "mailgun": lambda *_: {},  # signs inside the body
    "mandrill": _mandrill,
    "mautic": lambda b, *_: {"webhook-signature": _b64(_mac(b))},
    "resend": _webhook("svix"),
    "segment": lambda b, *_: {"x-signature": _mac(b, "sha1").hex()},
    "sendgrid": _sendgrid,
    "standardwebhooks": _webhook("webhook"),
    "typeform": lambda b, *_: {"typeform-signature": "sha256=" + _b64(_mac(b))},
}


def secret_of(platform: str) -> str:
    """What the source of that platform is given as its secret."""
    if platform in ("resend", "standardwebhooks"):
        return "whsec_" + _b64(SECRET.encode())
    return SENDGRID_KEY if platform == "sendgrid" else SECRET


def sign(platform: str, body: bytes, at: int, url: str) -> Mapping[str, str]:
    """The headers of a good request; a platform that signs nothing repeats a password."""
    signer = SIGNERS.get(platform, lambda *_: {"authorization": f"Bearer {SECRET}"})
    return signer(body, at, url)


def with_token(event: dict[str, object], at: int, token: str) -> bytes:
    """A body of Mailgun: the event beside a signed time and token."""
    made = {"timestamp": str(at), "token": token, "signature": _mac(f"{at}{token}".encode()).hex()}
    return msgspec.json.encode({"signature": made, "event-data": event})
