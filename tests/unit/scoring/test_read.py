"""Any bytes become an event or a reason; identifiers that mean nobody are told apart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.core.identity import Names, generation_key, profile_key
from services.scoring.core.read import DAY_MS, Dead, Event, event_id, moment, read
from tests.unit.scoring.support import NOW_MS, message


def envelope(data=None, **changes):
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": "leadrouter.page.viewed.v1",
        "time": "2026-11-24T11:00:00Z",
    }
    body["data"] = {"ids": [{"kind": "user", "value": "u"}]} if data is None else data
    return json.dumps({**body, **changes}).encode()


def of(value, at_ms=NOW_MS):
    return read(value, at_ms, Names(), 10_000)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_value"),
        (b"", "bad_json"),
        (b"\xff", "bad_json"),
        (b"[" * 9000, "bad_json"),
        (b'{"id":' + b"[" * 5000, "bad_json"),
        (b'{"x":' + b"[" * 4000 + b"]" * 4000 + b"}", "bad_json"),
        (b"[]", "not_a_tracking_event"),
        (b"{}", "not_a_tracking_event"),
        (b"x" * 10_001, "too_large"),
        (envelope(id=""), "not_a_tracking_event"),
        (envelope(source=""), "not_a_tracking_event"),
        (envelope(specversion="0.3"), "not_a_tracking_event"),
        (envelope(data={"signal": 7}), "not_a_tracking_event"),
        (envelope(id="\ud800"), "bad_json"),
        (envelope(type="x" * 101), "no_signal"),
        (envelope(type=""), "no_signal"),
        (envelope(time="2026-11-24T11:00:00"), "bad_time"),
        (envelope(time="0001-01-01T00:00:00+14:00"), "bad_time"),
        (envelope(time="1970-01-01T00:00:00Z"), "bad_time"),
        (envelope(time="2200-01-01T00:00:00Z"), "bad_time"),
        (envelope(time="yesterday"), "not_a_tracking_event"),
        (envelope(data={}), "no_identifier"),
        (envelope(data={"ids": []}), "no_identifier"),
        (envelope(data={"ids": [{"kind": "user", "value": " NULL "}]}), "placeholder_id"),
        (envelope(data={"ids": [{"kind": "user", "value": "{{user.id}}"}]}), "placeholder_id"),
        (envelope(data={"ids": [{"kind": "phone", "value": "1"}]}), "bad_identifier"),
        (envelope(data={"ids": [{"kind": "user", "value": "a\0b"}]}), "bad_identifier"),
        (envelope(data={"ids": [{"kind": "user", "value": "x" * 257}]}), "bad_identifier"),
        (envelope(data={"ids": [{"kind": "email", "value": "nobody"}]}), "bad_identifier"),
    ],
)
def test_what_can_never_be_used_says_why(value, reason):
    found = of(value)
    assert isinstance(found, Dead), found
    assert found.reason in (reason, "not_a_tracking_event" if reason == "bad_json" else reason)
    assert found.detail


@given(st.binary(max_size=300))
def test_no_bytes_raise(value):
    assert isinstance(of(value), Dead)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["ids", "signal", "email", "time", "kind", "value", "trust", "received_at"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_raises(data):
    assert isinstance(of(envelope(data=data)), (Dead, Event))


@pytest.mark.parametrize(
    ("data", "subject", "wanted"),
    [
        ({"email": " Eve@Kivi.Example "}, None, [(0, "eve@kivi.example")]),
        ({"user_id": 42, "anonymousId": "c"}, None, [(2, "42"), (3, "c")]),
        ({"userId": "u", "anonymous_id": "null"}, None, [(2, "u")]),
        ({}, "eve@kivi.example", [(0, "eve@kivi.example")]),
        ({"ids": [{"kind": "anonymous", "value": "c"}, {"kind": "crm", "value": "7"}]}, "x@y.z", [(1, "7"), (3, "c")]),
        ({"ids": [{"kind": "user", "value": "u"}, {"kind": "user", "value": "u"}]}, None, [(2, "u")]),
        ({"ids": [{"kind": "anonymous", "value": "c"}, {"kind": "anonymous", "value": "d"}]}, None, [(3, "c")]),
        ({"ids": [{"kind": "user", "value": 7}]}, None, [(2, "7")]),
    ],
)
def test_other_producers_name_people_in_their_own_ways(data, subject, wanted):
    found = of(envelope(data=data, subject=subject))
    assert [(one.kind, one.value) for one in found.idents] == wanted


def test_the_signal_is_in_the_data_or_the_type():
    assert of(envelope()).signal == "page.viewed"
    assert of(envelope(type="Calculator Used")).signal == "Calculator Used"
    assert of(envelope(data={"signal": "email.opened", "email": "a@b.cd"})).signal == "email.opened"


def test_times_are_clamped_and_missing_ones_are_the_logs():
    found = of(message("page.viewed", {"user": "u"}, ago=-3600))
    assert found.at_ms == found.received_ms == NOW_MS
    assert found.own_ms == NOW_MS + 3_600_000
    without = of(envelope(time=None))
    assert (without.at_ms, without.received_ms) == (NOW_MS, NOW_MS)
    assert without.id[:6] == (NOW_MS // DAY_MS * DAY_MS).to_bytes(6)
    occurred = of(envelope(data={"email": "a@b.cd", "occurred_at": "2026-11-20T00:00:00Z"}, time=None))
    assert moment(occurred.own_ms).day == 20
    assert of(envelope(data={"email": "a@b.cd", "received_at": "2300-01-01T00:00:00Z"})).reason == "bad_time"


def test_an_event_keeps_its_id_and_an_untimed_one_repeats_only_within_its_day():
    a = event_id("s", "1", 5000)
    assert int.from_bytes(a[:6]) == 5000
    assert len({a, event_id("s", "2", 5000), event_id("s1", "", 5000), event_id("s", "1", 5001)}) == 4
    one, same, next_day = (
        of(envelope(data={"email": "a@b.cd", "untimed": True, "received_at": at}, time=at)).id
        for at in ("2026-11-24T01:00:00Z", "2026-11-24T23:00:00Z", "2026-11-25T01:00:00Z")
    )
    assert one == same != next_day


def test_names_are_remembered_up_to_a_limit():
    names = Names(2)
    one = names.ident("user", "a")
    assert names.ident("user", "a") is one
    names.ident("user", "b")
    names.ident("user", "c")
    assert names.ident("user", "a") == one
    assert names.ident("user", "\ud800") == "bad_identifier"
    assert generation_key("c", 0) == profile_key("anonymous", "c") != generation_key("c", 1)


def test_a_role_mailbox_is_known_as_such():
    assert Names().ident("email", "info@kivi.example").role is True
    assert Names().ident("email", "eve@kivi.example").role is False


@pytest.mark.parametrize(
    "time",
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"],
)
def test_the_ends_of_time_are_bad_times(time):
    raw = message("page.viewed", {"email": "a@kivi.example"})
    body = json.loads(raw)
    body["time"] = time
    found = read(json.dumps(body).encode(), NOW_MS, Names(), 10_000)
    assert isinstance(found, Dead)
    assert found.reason == "bad_time"


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00x"])
def test_half_a_character_is_no_text(text):
    raw = message("page.viewed", {"email": "a@kivi.example"}, id_="HERE").replace(b"HERE", text.encode())
    found = read(raw, NOW_MS, Names(), 10_000)
    assert isinstance(found, Dead)
    assert found.reason == "bad_json"


@pytest.mark.parametrize("other", ["va\u0308ino\u0308@ja\u0308tti.example", "Väinö@xn--jtti-loa.example"])
def test_an_address_has_one_profile_however_it_is_spelled(other: str) -> None:
    names = Names()
    assert names.ident("email", other) == names.ident("email", "väinö@jätti.example")
