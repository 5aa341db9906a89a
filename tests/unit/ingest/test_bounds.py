"""Edges of the ingest core: memories that fill up, and what is passed over or kept as it is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.messages import Identifier
from services.ingest.core import hints, spelling, traits
from services.ingest.core.identity import clean_id, identifiers
from services.ingest.core.mapping import Facts, Seen, known, to_event
from services.ingest.core.spelling import Speller
from services.ingest.core.times import event_time
from tests.unit.ingest.support import NOW

FACTS = Facts(source="/test", trust="secret", received_at=NOW)


def seen(**more: Any) -> Seen:
    return Seen(**{"raw": b"{}", "name": "Page Viewed", "emails": ("a@kivi.example",), **more})


def test_memories_are_emptied_when_full_and_answer_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (spelling, traits):
        monkeypatch.setattr(module, "_CACHE_MAX", 2)
    monkeypatch.setattr(hints, "_SHAPES_MAX", 2)
    monkeypatch.setattr(hints, "_shapes", {})
    monkeypatch.setattr(traits, "_folded", {})
    speller = Speller()
    for _ in range(2):
        for name in ("Page Viewed", "Signed Up", "Song Played", "Email Opened"):
            assert speller.signal(name) == Speller().signal(name)
        assert hints.hints({"url": "u", "Campaign ID": "7", "x": 1, "IP": "192.0.2.1"})["url"] == "u"
        assert hints.hints({"x": 1, "IP": "192.0.2.1"}) == {"ip": "192.0.2.1"}
        assert hints.hints({"Page URL": "u", "path": None, "link": ""}) == {"url": "u"}
        made, account, _ = traits.person_traits(
            {"Name": "A", "Job Title": "T", "E-Mail": "e", "company": {"Name": "K"}}
        )
        assert (made["name"], made["title"], account["name"]) == ("A", "T", "K")
    assert len(hints._shapes) <= 2
    assert len(traits._folded) <= 2


@pytest.mark.parametrize("names", [[f"n{number}" for number in range(100)], ["n" * 2000]])
def test_a_strange_set_of_properties_is_read_and_not_remembered(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr(hints, "_shapes", {})
    assert hints.hints({**dict.fromkeys(names, "x"), "url": "u"}) == {"url": "u"}
    assert hints._shapes == {}


def test_the_surer_spelling_of_a_hint_wins_whatever_comes_first() -> None:
    one = hints.hints({"campaign": "spring", "campaign_id": "7"})
    other = hints.hints({"campaign_id": "7", "campaign": "spring"})
    assert one["campaign"] == other["campaign"]


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://kivi.example/a", "https://kivi.example/a"),
        ("HTTPS://kivi.example/a", "HTTPS://kivi.example/a"),
        (" https://kivi.example/a ", "https://kivi.example/a"),
        ("https://kivi.example/a b", None),
        ("https://kivi.example/a\x00", None),
        ("https://kivi.example/" + "a" * 2048, None),
        ("", None),
        ("ftp://kivi.example/", None),
        (7, None),
    ],
)
def test_addresses_of_pages(value: object, url: str | None) -> None:
    assert hints.web_url(value) == url


@pytest.mark.parametrize(
    ("path", "url", "shown"),
    [
        ("pricing", None, "/pricing"),
        ("https://kivi.example/x", "https://kivi.example/pricing?a=1", "/pricing"),
        ("https://kivi.example/x", None, None),
        (None, "https://kivi.example", "/"),
        (7, None, None),
        ("/pricing", "https://kivi.example/x", "/pricing"),
        ("/pricing ", None, "/pricing"),
        ("/pricing?a=1", None, "/pricing"),
        ("/pricing#a", None, "/pricing"),
        ("/" + "a" * 2000, None, "/" + "a" * 1023),
    ],
)
def test_paths_of_pages(path: object, url: str | None, shown: str | None) -> None:
    assert hints.path_of(path, url) == shown


def test_an_alias_that_names_nobody_or_the_same_one_adds_nothing() -> None:
    same = Identifier(kind="email", value="a@kivi.example")
    for previous in ("", " ", same, "a@kivi.example"):
        assert identifiers(emails=("a@kivi.example",), previous=previous) == [same]


def test_a_campaign_may_be_an_object() -> None:
    assert to_event(seen(campaign={"name": "spring"}), FACTS, Speller()).data.campaign == "spring"
    assert to_event(seen(campaign={"id": 7}), FACTS, Speller()).data.campaign is None


def test_an_event_without_an_id_is_named_by_its_content_whatever_that_is() -> None:
    def named(raw: bytes) -> str:
        return to_event(seen(raw=raw), FACTS, Speller()).id

    assert named(b'{"a":1,"sentAt":"x"}') == named(b'{"sentAt":"y","a":1}'.replace(b'"sentAt":"y",', b""))
    assert named(b"\xff\x00") == named(b"\xff\x00") != named(b"\xff\x01")
    assert named(b"[1]") != named(b"[2]")
    assert known("page.viewed")
    assert not known("song_played")


def test_a_clock_that_is_far_off_does_not_push_a_good_time_into_nowhere() -> None:
    good = "2026-11-20T10:00:00Z"
    for sent in ("9000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"):
        assert event_time(good, sent, NOW).occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    with pytest.raises(Exception, match="cannot be the time"):
        event_time("9999-12-31T23:59:59Z", "1990-01-01T00:00:00Z", NOW)


def test_traits_of_odd_kinds() -> None:
    made, account, left_out = traits.person_traits(
        {"Job Title": "first", "title": "own name wins", "Employees": 5, "employees": "7", "address": {"country": 7},
         "company": {"industry": "steel"}, "other": {"a": 1}, "domain": "not a host"}
    )  # fmt: skip
    assert (made["title"], made["employees"], made["industry"]) == ("own name wins", 7, "steel")
    assert "country" not in made
    assert "domain" not in account
    assert left_out
    assert traits.person_traits({"employees": 7, "Employees": 5})[0]["employees"] == 7
    many = {f"t{n}": "x" for n in range(traits.TRAITS_MAX)}
    full, _, left_out = traits.person_traits({**many, "more": "x"})
    assert (len(full), left_out) == (traits.TRAITS_MAX, True)
    full, _, left_out = traits.person_traits({**many, "number": 7})
    assert (len(full), left_out) == (traits.TRAITS_MAX, True)
    assert traits.company_facts({"address": {"country": 7}, "nothing": {}, "name": "", "odd": 1}) == {}
    assert traits.company_facts({"address": {"country": "FI"}})["country"] == "FI"


def test_what_is_absent_or_no_text_says_nothing() -> None:
    assert clean_id(None, "userId") is None
    event = to_event(seen(name=7, signal="page.viewed", user_agent=7), FACTS, Speller())
    assert (event.data.name, event.data.user_agent) == (None, None)
