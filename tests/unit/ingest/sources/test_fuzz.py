"""Whatever comes, a platform answers with events, refused items or a refused body: never with another exception."""

import contextlib
import json
import random
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import BadBody, Limits, Platform
from services.ingest.sources.registry import PLATFORMS
from tests.unit.ingest.sources.examples import EXAMPLES, Example
from tests.unit.ingest.sources.reading import NOW, arrival

# Inputs of a run over all examples; the long one by `pytest -m slow tests/unit/ingest/sources/test_fuzz.py`.
SHORT, LONG = 4000, 200_000
RUNS = (SHORT, pytest.param(LONG, marks=(pytest.mark.slow, pytest.mark.timeout(3600))))
FACTS = Facts(source="/sources/s1", trust="secret", received_at=NOW)
SPELLER = Speller()
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 2**70, "", " ", "x" * 3000, "\ud83d", "null", [], {}, [[]], [None], {"a": {}},
    {"": 1}, "0", "-", "1970-01-01", "9999-99-99", "javascript:alert(1)", "a@b", "@", "é@ä.example", "2026-11-18T08:00:00Z",
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def holds(platform: Platform, raw: bytes, headers: dict[str, str]) -> None:
    """Every outcome is one that the receiver knows, and every item has one."""
    request = arrival(raw, headers, query={"items": "/a", "secret": "s"} if platform.name == "json" else {})
    assert platform.verify(request, ("secret",)) is None or isinstance(platform.verify(request, ("secret",)), str)
    if platform.token is not None:
        platform.token(request)
    try:
        found = platform.parse(request, Limits())
    except BadBody:
        platform_again(platform, request.body)
        return
    for bad in found.rejected:
        assert bad.code
        platform_again(platform, bad.raw)
    for _, seen in found.seen:
        try:
            event = to_event(seen, FACTS, SPELLER)
        except BadItem:
            platform_again(platform, seen.raw)
        else:
            assert event.data.ids
            msgspec.json.encode(event)


def platform_again(platform: Platform, raw: bytes) -> None:
    with contextlib.suppress(BadBody):
        platform.parse_item(raw, Limits())


def mutated(value: Any, dice: random.Random) -> Any:
    """The value with one place changed, lost, doubled or replaced."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(list(value))
        made = dict(value)
        what = dice.random()
        if what < 0.1:
            del made[key]
        elif what < 0.2:
            made[key + dice.choice(("", "x", "é", "\0"))] = made.pop(key)
        else:
            made[key] = mutated(value[key], dice)
        return made
    if isinstance(value, list) and value and dice.random() < 0.9:
        place = dice.randrange(len(value))
        made_list = list(value)
        if dice.random() < 0.1:
            made_list.append(value[place])
        else:
            made_list[place] = mutated(value[place], dice)
        return made_list
    return dice.choice(WRONG)


def bent(raw: bytes, dice: random.Random) -> bytes:
    """Bytes cut, doubled or changed."""
    at = dice.randrange(len(raw) + 1)
    match dice.randrange(4):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + bytes((dice.randrange(256),)) + raw[at + 1 :]
        case 2:
            return raw[at:] + raw[:at]
        case _:
            return raw[:at] + raw[dice.randrange(len(raw) + 1) :]


def of_form(raw: bytes, dice: random.Random) -> bytes:
    """A form with one field changed (inside, when it holds JSON), lost or doubled."""
    pairs = parse_qsl(raw.decode(), keep_blank_values=True)
    if not pairs:
        return raw
    place = dice.randrange(len(pairs))
    name, value = pairs[place]
    what = dice.random()
    if what < 0.1:
        del pairs[place]
    elif what < 0.2:
        pairs.append((name, str(dice.choice(WRONG))))
    else:
        try:
            value = json.dumps(mutated(json.loads(value), dice))
        except ValueError:
            value = str(dice.choice(WRONG))
        pairs[place] = (name, value)
    return urlencode(pairs, errors="replace").encode()


def any_mutation(example: Example, dice: random.Random) -> bytes:
    """One input made of an example."""
    if isinstance(example.body, bytes):
        is_form = b"=" in example.body[:64] and example.body.isascii()
        made = of_form(example.body, dice) if is_form and dice.random() < 0.7 else example.body
        return bent(made, dice) if made is example.body or dice.random() < 0.2 else made
    value = example.body
    for _ in range(dice.randrange(1, 4)):
        value = mutated(value, dice)
    made = msgspec.json.encode(_clean(value))
    return bent(made, dice) if dice.random() < 0.2 else made


@pytest.mark.parametrize("inputs", RUNS)
@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{n}-{example.name}" for n, example in enumerate(EXAMPLES)])
def test_mutations_of_every_example(example: Example, inputs: int) -> None:
    dice = random.Random(f"{example.name} {inputs}")
    platform = PLATFORMS[example.platform]
    for _ in range(max(20, inputs // len(EXAMPLES))):
        holds(platform, any_mutation(example, dice), example.headers)


def _clean(value: Any) -> Any:
    """msgspec writes no lone surrogates; they come in as escapes instead."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(PLATFORMS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.binary(max_size=200) | json_values.map(lambda value: msgspec.json.encode(_clean(value))))
def test_anything_at_all(name: str, body: bytes) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        holds(PLATFORMS[name], body, {"content-type": content_type, "svix-id": "m\ufffd", "x-signature": "é"})


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_a_body_that_nests_without_end(name: str) -> None:
    for raw in (b"[" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"events":' + b"[" * 3000 + b"]" * 3000 + b"}"):
        holds(PLATFORMS[name], raw, {})
