"""Signatures of messages: Standard Webhooks for what we send, Slack's v0 for what Slack sends.

Source: standardwebhooks.com specification 1.0.0; docs.slack.dev "Verifying requests from Slack".
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = range(24, 65)
SLACK_WINDOW_S: Final = 300


def webhook_secret(random: bytes) -> str:
    """A signing secret as receivers paste it, of 24 to 64 random bytes."""
    return PREFIX + base64.b64encode(random).decode()


def secret_bytes(secret: str) -> bytes | None:
    """The key of a `whsec_…` secret; None when it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) in SECRET_BYTES else None


def webhook_signature(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one `v1` for each secret, so that receivers may change theirs at leisure."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    keys = [key for secret in secrets if (key := secret_bytes(secret)) is not None]
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def slack_signature(secret: str, timestamp: str, body: bytes) -> str:
    """The header `X-Slack-Signature` for these raw bytes."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.digest(secret.encode(), signed, hashlib.sha256).hex()


def from_slack(secrets: Iterable[str], timestamp: str, signature: str, body: bytes, now_s: float) -> bool:
    """Whether Slack has sent these bytes within the last five minutes; every secret is tried, in constant time."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now_s - int(timestamp)) > SLACK_WINDOW_S:
        return False
    given = signature.encode()
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(slack_signature(secret, timestamp, body).encode(), given)
    return found
