"""SDK protocols and the generic JSON source: what clients of PostHog and Snowplow send, and maps of JSON pointers."""

import base64
import json
from typing import Any

import pytest

from services.ingest.sources import json_map, posthog, snowplow
from services.ingest.sources.base import Limits
from tests.unit.ingest.sources.examples import ANNE, T
from tests.unit.ingest.sources.reading import arrival, form, ids, read

TIME = "2026-11-18T08:00:00Z"


def event(name: str = "Demo Requested", **more: Any) -> dict[str, Any]:
    return {"event": name, "distinct_id": "u7", "uuid": "1", "timestamp": TIME, "properties": {}, **more}


def packed(body: Any) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": "k", "batch": [event()]},
        {**event(), "api_key": "k"},
        [{**event(), "properties": {"token": "k"}}],
        form({"data": packed({**event(), "api_key": "k"}), "compression": "base64"}),
        form({"data": json.dumps({**event(), "token": "k"})}),
    ],
    ids=["batch", "single", "list", "base64 form", "json form"],
)
def test_posthog_bodies_of_every_kind(body: Any) -> None:
    assert posthog.key_of(arrival(body)) == "k"
    assert read("posthog", body).one.signal == "demo.requested"


def test_posthog_by_get() -> None:
    asked = arrival(b"", query={"data": packed({**event(), "api_key": "k"})}, method="GET")
    assert posthog.key_of(asked) == "k"
    assert len(posthog.parse(asked, Limits()).seen) == 1


def test_posthog_times() -> None:
    # The client's clock is two hours slow; our receipt is noon of the 20th.
    slow = {"api_key": "k", "sent_at": "2026-11-20T10:00:00Z", "batch": [event(timestamp="2026-11-20T09:30:00Z")]}
    found = read("posthog", slow).one
    assert str(found.occurred_at) == "2026-11-20 11:30:00+00:00"
    imported = read("posthog", {**slow, "historical_migration": True}).one
    assert str(imported.occurred_at) == "2026-11-20 09:30:00+00:00"
    kept = read(
        "posthog",
        {**slow, "batch": [event(timestamp="2026-11-20T09:30:00Z", options={"disable_skew_correction": True})]},
    )
    assert str(kept.one.occurred_at) == "2026-11-20 09:30:00+00:00"
    older = {**slow, "batch": [{"event": "x", "distinct_id": "u7", "uuid": "1", "offset": 1800_000}]}
    assert str(read("posthog", older).one.occurred_at) == "2026-11-20 11:30:00+00:00"


def test_posthog_machines_and_pages() -> None:
    page = event("$pageview", properties={"$current_url": "https://shop.example/pricing?a=1", "$ip": "203.0.113.4",
                                          "$browser_type": "bot", "title": "Prices"})  # fmt: skip
    found = read("posthog", page).one
    assert (found.signal, found.path, found.name, found.ip, found.actor) == (
        "page.viewed", "/pricing", "Prices", "203.0.113.4", "machine",
    )  # fmt: skip


def test_posthog_verdicts() -> None:
    body = {"batch": [event(uuid="a"), {"event": None, "uuid": "b"}, event("$autocapture", uuid="c")]}
    found = posthog.parse(arrival(body), Limits())
    answer = json.loads(posthog.answer(found)[0])
    assert answer["results"]["a"] == {"result": "ok"}
    assert answer["results"]["b"]["result"] == "drop"
    assert "c" not in answer["results"]  # what is not listed counts as taken


def tp2(**fields: Any) -> dict[str, Any]:
    return {"schema": "iglu:x", "data": [{"aid": "k", "eid": "1", "duid": "d1", "dtm": str(T * 1000), **fields}]}


def described(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"schema": "iglu:u/unstruct_event/jsonschema/1-0-0",
            "data": {"schema": f"iglu:com.acme/{name}/jsonschema/1-0-0", "data": data}}  # fmt: skip


def test_snowplow_structured_and_self_describing() -> None:
    assert snowplow.key_of(arrival(tp2(e="pv"))) == "k"
    assert read("snowplow", tp2(e="se", se_ac="Form Submitted", se_ca="x")).one.signal == "form.submitted"
    own = described("demo_requested", {"email": ANNE})
    for fields in ({"ue_pr": json.dumps(own)}, {"ue_px": packed(own)}, {"ue_px": packed(own).rstrip("=")}):
        found = read("snowplow", tp2(e="ue", **fields)).one
        assert (found.signal, ids(found)[0]) == ("demo.requested", f"email:{ANNE}")
    click = described("link_click", {"targetUrl": "https://a.example/"})
    assert read("snowplow", tp2(e="ue", ue_pr=json.dumps(click))).one.link == "https://a.example/"
    assert read("snowplow", tp2(e="pp")).ignored == ["page ping"]
    assert read("snowplow", tp2(e="ue", ue_px="!!!")).bad == ["field_missing"]


def test_snowplow_people_in_contexts() -> None:
    contexts = {"schema": "iglu:c/contexts/jsonschema/1-0-0", "data": [
        {"schema": "iglu:com.snowplowanalytics.snowplow/web_page/jsonschema/1-0-0", "data": {"id": "x"}},
        {"schema": "iglu:com.acme/user/jsonschema/1-0-0", "data": {"email": ANNE, "jobTitle": "CEO"}}]}  # fmt: skip
    found = read("snowplow", tp2(e="pv", url="https://shop.example/pricing", uid="u7", cx=packed(contexts))).one
    assert ids(found) == [f"email:{ANNE}", "user:u7", "anonymous:d1"]
    assert found.traits == {"email": ANNE, "title": "CEO"}
    assert found.path == "/pricing"


def test_the_snowplow_pixel() -> None:
    query = {"e": "pv", "aid": "k", "eid": "1", "duid": "d1", "url": "https://shop.example/"}
    asked = arrival(b"", query=query, method="GET")
    assert snowplow.key_of(asked) == "k"
    assert len(snowplow.parse(asked, Limits()).seen) == 1
    told = snowplow.answer("/i")
    assert told is not None
    assert told(snowplow.parse(asked, Limits()))[0][:6] == b"GIF89a"
    assert snowplow.answer(snowplow.POST_PATH) is None


MAP = {"event": "/kind", "email": "/who/mails/0", "time": "/at", "traits.title": "/who/job~1title", "url": "/page",
       "id": "/nr", "actor": "/by", "account.domain": "/firm", "secret": "x"}  # fmt: skip


def test_a_field_map_of_json_pointers() -> None:
    body = {"kind": "Webinar Attended", "who": {"mails": [ANNE], "job/title": "CEO"}, "at": TIME, "nr": 7, "by": "human",
            "page": "https://shop.example/w", "firm": "nordwind.example"}  # fmt: skip
    found = read("json", body, query=MAP).one
    assert (found.signal, ids(found)[0], found.url, found.actor) == (
        "webinar.attended", f"email:{ANNE}", "https://shop.example/w", "human",
    )  # fmt: skip
    assert (found.traits, found.account) == ({"title": "CEO"}, {"domain": "nordwind.example"})


def test_a_field_map_with_constants_and_lists() -> None:
    query = {"event": "form.submitted", "email": "/mail", "items": "/rows"}
    found = read("json", {"rows": [{"mail": ANNE}, {"mail": "ben@stella.example"}, {"mail": None}]}, query=query)
    assert (found.signals, found.bad) == (["form.submitted", "form.submitted"], ["no_id"])
    assert read("json", {"rows": {}}, query=query).refused == "wrong_shape"
    assert read("json", form({"mail": ANNE}), query={**query, "items": ""}).one.signal == "form.submitted"


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/a/b", 1),
        ("/l/1", "y"),
        ("/l/9", None),
        ("/l/x", None),
        ("/none/deep", None),
        ("plain", "plain"),
        ("/a~1b", 2),
    ],
)
def test_pointers(pointer: str, value: Any) -> None:
    assert json_map.pointed({"a": {"b": 1}, "l": ["x", "y"], "a/b": 2}, pointer) == value


def test_a_mapped_dead_letter_keeps_its_map() -> None:
    parsed = json_map.PLATFORM.parse(arrival({"kind": "", "who": {"mails": [ANNE]}}, query=MAP), Limits())
    (bad,) = parsed.rejected
    assert bad.code == "field_missing"
    mended = bad.raw.replace(b'"kind":""', b'"kind":"Signed Up"')
    ((_, seen),) = json_map.PLATFORM.parse_item(mended, Limits()).seen
    assert (seen.name, seen.emails) == ("Signed Up", (ANNE,))


def test_what_is_too_large_to_carry_along_is_read_all_the_same() -> None:
    found = read("posthog", event(properties={"text": "x" * 40_000})).one
    assert (found.signal, bytes(found.properties)) == ("demo.requested", b"")
    long = {"vid": 1, "portal-id": 7, "properties": {"email": {"value": ANNE}, "about": {"value": "y" * 40_000}}}
    assert bytes(read("hubspot", long).one.properties) == b""


def test_no_write_key_travels_on() -> None:
    for platform, body in (
        ("posthog", {**event(properties={"token": "k-secret", "a": 1}), "api_key": "k-secret"}),
        ("snowplow", {"data": [{"e": "pv", "aid": "k-secret", "duid": "d1"}]}),
    ):
        kept = bytes(read(platform, body).one.properties)
        assert kept not in (b"", b"{}")
        assert b"k-secret" not in kept
