"""Tokens we hand out, and secrets of others that we keep."""

import base64
import os
import threading
from pathlib import Path

import pytest

from services.runtime.errors import Misconfigured
from services.runtime.secretbox import SecretBox, open_secret_box, read_key
from services.runtime.security import hash_token, new_token, same
from services.runtime.settings import Settings

KEY = bytes(range(32))


def test_tokens_are_long_and_never_twice() -> None:
    made = {new_token("lr_rep") for _ in range(1000)}
    assert len(made) == 1000
    assert all(token.startswith("lr_rep_") and len(token) == 7 + 43 for token in made)
    assert len(hash_token("x")) == 32
    assert hash_token("x") != hash_token("y")


def test_secrets_are_compared_whole() -> None:
    assert same("päivä", "päivä")
    assert same(b"a", "a")
    assert not same("a", "b")
    assert not same("a", "aa")
    assert not same("\ud800", "?")  # what a client may send must not raise


def test_a_sealed_secret_opens_in_its_own_context_only() -> None:
    box = SecretBox(KEY)
    sealed = box.seal("shh-päivä", "source:1")
    assert b"shh" not in sealed
    assert sealed != box.seal("shh-päivä", "source:1")
    assert box.open(sealed, "source:1") == "shh-päivä"
    for damaged, context in (
        (sealed, "source:2"),
        (sealed[:-1] + b"\x00", "source:1"),
        (b"\x02" + sealed[1:], "source:1"),
        (b"", "source:1"),
        (sealed[:9], "source:1"),
    ):
        with pytest.raises(Misconfigured) as caught:
            box.open(damaged, context)
        assert caught.value.code == "secret_key_wrong"
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_SECRET_KEY"):
        SecretBox(os.urandom(32)).open(sealed, "source:1")


@pytest.mark.parametrize(
    "text",
    [base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode().rstrip("="), KEY.hex(), f" {KEY.hex()}\n"],
)
def test_a_key_may_be_written_in_several_ways(text: str) -> None:
    assert read_key(text) == KEY


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 64, base64.b64encode(b"31 bytes only, one too few here").decode(), "ä" * 43]
)
def test_a_wrong_key_says_how_to_make_one(text: str) -> None:
    with pytest.raises(Misconfigured, match="openssl rand"):
        read_key(text)
    with pytest.raises(Misconfigured, match="openssl rand"):
        SecretBox(b"short")


def test_locally_a_key_file_is_made_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    sealed = open_secret_box(settings).seal("s", "c")
    assert open_secret_box(settings).open(sealed, "c") == "s"
    path = tmp_path / "new" / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="damaged"):
        open_secret_box(settings)


def test_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    boxes: list[SecretBox] = []
    threads = [threading.Thread(target=lambda: boxes.append(open_secret_box(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = boxes[0].seal("s", "c")
    assert [box.open(sealed, "c") for box in boxes] == ["s"] * 8


def test_a_key_file_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_DATA_DIR"):
        open_secret_box(Settings(data_dir=tmp_path / "file"))


def test_production_needs_a_key_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_SECRET_KEY is not set"):
        open_secret_box(Settings(data_dir=tmp_path, environment="production"))
    assert not list(tmp_path.iterdir())
    box = open_secret_box(Settings(environment="production", secret_key=KEY.hex()))
    assert SecretBox(KEY).open(box.seal("s", "c"), "c") == "s"
