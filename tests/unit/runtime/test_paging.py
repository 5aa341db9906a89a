"""Cursors: opaque, bounded, of one list."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import BadMessage
from services.runtime.paging import CURSOR_MAX_CHARS, decode_cursor, encode_cursor, page


@given(
    st.integers(-(2**53), 2**53),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=60),
)
def test_what_goes_in_comes_out(number: int, text: str) -> None:
    word = encode_cursor(number, text)
    assert decode_cursor(word, int, str) == (number, text)
    assert word.isascii()
    assert "=" not in word


def test_no_cursor_is_the_first_page() -> None:
    assert decode_cursor(None, int) is None
    assert decode_cursor("", int) is None
    assert page([1], None) == {"items": [1], "next": None}


@pytest.mark.parametrize(
    "word",
    [
        "!!!",
        "a",
        "x" * (CURSOR_MAX_CHARS + 1),
        encode_cursor("1", "b"),
        encode_cursor(1),
        encode_cursor(1, "b", 2),
        encode_cursor(True, "b"),
        encode_cursor(1, ""),
        encode_cursor(1, "\x00"),
        "e30",
        "päivä",
    ],
)
def test_what_is_not_of_this_list_is_refused(word: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_cursor(word, int, str)
    assert caught.value.code == "bad_cursor"


@given(st.text(max_size=80))
def test_anything_else_is_refused_in_words_or_read(word: str) -> None:
    with contextlib.suppress(BadMessage):
        decode_cursor(word, int, str)
