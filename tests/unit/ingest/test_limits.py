"""Sizes, nesting and characters."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.limits import CUT, isolate_deep, mended_escapes, mended_utf8, too_deep


@pytest.mark.parametrize(
    ("given_", "mended"),
    [
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"cut \ud83d"', rb'"cut \ufffd"'),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"a\u0000b"', rb'"a\ufffdb"'),
        (rb'"\\\u0000"', rb'"\\\ufffd"'),
        (rb'"\\u0000"', rb'"\\u0000"'),
        (rb'{"a":NaN,"b":-Infinity,"c":"NaN \" NaN"}', rb'{"a":null,"b":null,"c":"NaN \" NaN"}'),
    ],
)
def test_escapes(given_: bytes, mended: bytes) -> None:
    assert mended_escapes(given_) == mended
    msgspec.json.decode(mended)


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_python_text_can_be_stored_after_mending(text: str) -> None:
    body = json.dumps({"a": text}).encode()
    stored = msgspec.json.decode(mended_escapes(body))["a"]
    stored.encode()
    assert "\x00" not in stored


@given(st.binary())
def test_bytes_become_utf8(body: bytes) -> None:
    mended_utf8(body).decode("utf-8")


def test_a_byte_order_mark_is_taken_off() -> None:
    assert mended_utf8(b"\xef\xbb\xbf{}") == b"{}"


def test_depth() -> None:
    assert not too_deep(b'{"a":[1,{"b":2}]}', 4)
    assert too_deep(b"[" * 40 + b"]" * 40, 32)
    assert not too_deep(b"[" + b"[]," * 100 + b"[]]", 4)
    assert not too_deep(b'{"a":"' + b"[" * 1000 + b'"}', 4)
    assert not too_deep(b'{"a":"\\"' + b"[" * 1000 + b'"}', 4)


def test_only_the_guilty_item_is_cut_out() -> None:
    deep = b'{"type":"track","properties":' + b"[" * 5000 + b"]" * 5000 + b"}"
    good = b'{"type":"track","properties":{"a":{"b":[1]}}}'
    body = b'{"batch":[' + good + b"," + deep + b"," + good + b'],"sentAt":"x"}'
    cleaned, cut = isolate_deep(body, 32)
    assert cut == [deep]
    assert cleaned == b'{"batch":[' + good + b"," + CUT + b"," + good + b'],"sentAt":"x"}'
    msgspec.json.decode(cleaned)


@pytest.mark.parametrize(
    "body",
    [b'{"a":"' + rb"\"" * 500_000 + b"NaN", b'"' * 1_000_000 + b"NaN", b'{"a":NaN' + b"\\" * 1_000_000, b"[" * 500_000],
)
@pytest.mark.timeout(60)  # the square of their length would take hours
def test_hostile_bodies_cost_their_length(body: bytes) -> None:
    mended_escapes(body)
    too_deep(body, 32)
    isolate_deep(body, 32)
