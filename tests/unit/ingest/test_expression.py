"""Expressions over payloads: the policy's language, and nothing that a payload could break."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.expression import value_of
from services.ingest.core.limits import BadItem
from services.ingest.sources import json_map
from services.ingest.sources.base import Limits
from tests.unit.ingest.sources.reading import arrival

PAYLOAD = {
    "kind": "o",
    "amount": 12,
    "flags": ["hot", "new"],
    "contact": {"email": "anne@nordwind.example", "first": "Anne", "last": "Aho", "age": None},
    "yes": True,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("kind", "o"),
        ("contact.email", "anne@nordwind.example"),
        ("contact.email.more", None),
        ("nothing.at.all", None),
        ('kind == "o" ? "email.opened" : "email.clicked"', "email.opened"),
        ('kind in ["c", "x"] ? "email.clicked" : kind', "o"),
        ('contact.first + " " + contact.last', "Anne Aho"),
        ("contact.first + amount", None),
        ("amount > 10 && yes", True),
        ("amount > 10 && !yes || amount == 12", True),
        ("kind > 3", False),
        ("contact.age == null", True),
        ("yes == 1", False),
        ('"hot" in flags', True),
        ('"hot" in kind', False),
        ("amount * 2 - 4", 20),
        ("amount / 0", None),
        ("-amount", -12),
        ("-kind", None),
        ("amount % 5", 2),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert value_of(text, PAYLOAD) == value


@pytest.mark.parametrize("text", ["kind =", "f(kind)", "flags[0]", "", "(" * 40, "a" * 2001, '"open'])
def test_what_is_no_expression(text: str) -> None:
    for _ in range(2):  # the second time from memory
        with pytest.raises(BadItem) as caught:
            value_of(text, PAYLOAD)
        assert caught.value.code == "bad_map"


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(json)
def test_no_payload_breaks_it(payload: Any) -> None:
    for text in (
        "a + b",
        "a < b",
        "a in b",
        "a == b",
        "a / b",
        "a % b",
        "-a.b",
        "!a",
        "a ? b : c",
        "a * b * c",
        "[a] == b",
    ):
        value_of(text, payload)


def read(query: dict[str, str], body: Any) -> Any:
    return json_map.PLATFORM.parse(arrival(body, query=query), Limits())


def test_a_map_of_expressions() -> None:
    query = {
        "event": '=kind == "o" ? "Email Opened" : kind',
        "email": "=contact.email",
        "traits.name": '=contact.first + " " + contact.last',
        "when": "=amount > 0",
        "id": "/nr",
    }
    parsed = read(query, [{**PAYLOAD, "nr": 1}, {**PAYLOAD, "amount": 0}, {**PAYLOAD, "kind": "demo requested"}])
    assert [(seen.name, seen.id, dict(seen.traits)) for _, seen in parsed.seen] == [
        ("Email Opened", "1", {"name": "Anne Aho"}),
        ("demo requested", None, {"name": "Anne Aho"}),
    ]
    assert [one.type for one in parsed.ignored] == ["not meant"]


def test_a_bad_map_is_told_and_its_event_kept_as_a_dead_letter() -> None:
    parsed = read({"event": "=kind ==", "email": "=contact.email"}, PAYLOAD)
    (bad,) = parsed.rejected
    assert bad.code == "bad_map"
    assert "`kind ==`" in bad.message
