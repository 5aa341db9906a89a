"""How secrets of others (hook signing keys, Slack tokens) lie in the database: sealed with AES-256-GCM.

The key comes from `LEAD_ROUTER_SECRET_KEY`, or, in the local environment, from a file in the data folder made at the
first start. A sealed value is bound to its context (`"source:<id>"`), so that it cannot be moved to another row.
"""

import base64
import binascii
import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.errors import Misconfigured
from services.runtime.settings import Settings

KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.1
VERSION = b"\x01"
KEY_FILE = "secret.key"
HOW_TO_MAKE = "make one with: openssl rand -base64 32"


class SecretBox:
    """Seals and opens short secrets.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            msg = f"the secret key has {len(key)} bytes, it must have {KEY_BYTES}; {HOW_TO_MAKE}"
            raise Misconfigured(msg)
        self._cipher = AESGCM(key)

    def seal(self, secret: str, context: str) -> bytes:
        """The secret, encrypted and bound to `context`; another value each time."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, secret.encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> str:
        """The secret again.

        Raises:
            Misconfigured: Sealed with another key, for another context, or damaged.
        """
        head, nonce, body = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if head == VERSION:
            with contextlib.suppress(InvalidTag, ValueError):
                return self._cipher.decrypt(nonce, body, context.encode()).decode()
        msg = (
            f"the stored secret of {context} cannot be opened with this key; "
            "set LEAD_ROUTER_SECRET_KEY (or the file secret.key in the data folder) to the key it was stored with"
        )
        raise Misconfigured(msg, code="secret_key_wrong")


def read_key(text: str) -> bytes:
    """The 32 bytes written as base64 (either alphabet) or as 64 hex digits.

    Raises:
        Misconfigured: It is neither.
    """
    text = text.strip()
    with contextlib.suppress(ValueError):
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
    with contextlib.suppress(ValueError, binascii.Error):
        key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        if len(key) == KEY_BYTES:
            return key
    msg = f"LEAD_ROUTER_SECRET_KEY must be {KEY_BYTES} bytes as base64 or hex; {HOW_TO_MAKE}"
    raise Misconfigured(msg)


def open_secret_box(settings: Settings) -> SecretBox:
    """The box of this installation.

    Raises:
        Misconfigured: In production without a key, or the key file cannot be read or made.
    """
    if settings.secret_key is not None:
        return SecretBox(read_key(settings.secret_key.get_secret_value()))
    if settings.environment == "production":
        msg = f"LEAD_ROUTER_SECRET_KEY is not set; production needs one, the same for every process; {HOW_TO_MAKE}"
        raise Misconfigured(msg)
    return SecretBox(_key_file(settings.data_dir / KEY_FILE))


def _key_file(path: Path) -> bytes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and linked: two processes that start at once agree on one key, and a crash leaves no half key.
        fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, path)
            finally:
                fresh.unlink(missing_ok=True)
        return read_key(path.read_text())
    except OSError as error:
        msg = f"cannot read or make the key file {path}: {error}; set LEAD_ROUTER_DATA_DIR to a folder we may write to"
        raise Misconfigured(msg) from error
    except UnicodeDecodeError as error:
        msg = f"the key file {path} is damaged; put the key back (base64 of {KEY_BYTES} bytes)"
        raise Misconfigured(msg) from error
