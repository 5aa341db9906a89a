"""Whose event is it?"""

import pytest

from schemas.messages import Identifier
from services.ingest.core.identity import clean_email, identifiers, partition_key
from services.ingest.core.limits import BadItem


def kinds(ids: list[Identifier]) -> list[tuple[str, str]]:
    return [(one.kind, one.value) for one in ids]


def test_strongest_first() -> None:
    ids = identifiers(emails=(" Anna@Nordwind.Example ",), user="u1", anonymous="a1", crm="003x")
    assert kinds(ids) == [("email", "anna@nordwind.example"), ("crm", "003x"), ("user", "u1"), ("anonymous", "a1")]
    assert partition_key(ids) == b"email:anna@nordwind.example"


def test_a_user_id_that_is_an_address_is_an_address() -> None:
    assert kinds(identifiers(emails=(), user="Anna@Nordwind.example")) == [("email", "anna@nordwind.example")]


def test_a_user_id_with_another_address_stays_a_user_id() -> None:
    ids = identifiers(emails=("new@nordwind.example",), user="old@nordwind.example")
    assert kinds(ids) == [("email", "new@nordwind.example"), ("user", "old@nordwind.example")]


def test_one_address_per_event() -> None:
    assert kinds(identifiers(emails=("a1@x.example", "b1@x.example"))) == [("email", "a1@x.example")]


def test_numbers_are_ids() -> None:
    assert kinds(identifiers(emails=(), user=42, anonymous=7.0)) == [("user", "42"), ("anonymous", "7")]


def test_a_bad_address_is_passed_over_when_another_id_is_there() -> None:
    assert kinds(identifiers(emails=("n/a", "test@test.com"), user="u1")) == [("user", "u1")]


@pytest.mark.parametrize(
    "word",
    [
        "null",
        "NULL",
        "undefined",
        "anonymous",
        "None",
        "0",
        "[object Object]",
        "nan",
        "00000000-0000-0000-0000-000000000000",
        " null ",
    ],
)
@pytest.mark.parametrize("field", ["user", "anonymous"])
def test_placeholders_are_refused(word: str, field: str) -> None:
    with pytest.raises(BadItem) as bad:
        identifiers(emails=("anna@nordwind.example",), **{field: word})
    assert bad.value.code == "placeholder_id"


def test_zero_as_a_number_is_a_placeholder() -> None:
    with pytest.raises(BadItem) as bad:
        identifiers(emails=(), user=0)
    assert bad.value.code == "placeholder_id"


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        ({}, "no_id"),
        ({"user": "", "anonymous": "  "}, "no_id"),
        ({"emails": ("not an address",)}, "bad_email"),
        ({"emails": ("test@test.com",)}, "bad_email"),
        ({"emails": ("a" * 10_000 + "@x.example",), "user": "u1"}, "email_too_long"),
        ({"user": True}, "wrong_type"),
        ({"user": {"id": 1}}, "wrong_type"),
        ({"anonymous": ["a"]}, "wrong_type"),
        ({"user": "x" * 257}, "id_too_long"),
        ({"user": "a\ufffdb"}, "bad_characters"),
        ({"user": "a\x07b"}, "bad_characters"),
        ({"user": "test@test.com"}, "blocked_email"),
    ],
)
def test_refused(given_: dict[str, object], code: str) -> None:
    arguments: dict[str, object] = {"emails": (), **given_}
    with pytest.raises(BadItem) as bad:
        identifiers(**arguments)  # type: ignore[arg-type]
    assert bad.value.code == code


@pytest.mark.parametrize(
    "good",
    [
        "o'brien+tag@sub.nordwind.example",
        "päivi@ääkköset.example",
        "a@x.co",
        "x_y@a-b.example",
        "mailto:anna@nordwind.example",
    ],
)
def test_addresses(good: str) -> None:
    assert clean_email(good) == good.removeprefix("mailto:")


@pytest.mark.parametrize(
    "other",
    [
        "va\u0308ino\u0308@ja\u0308tti.example",
        "VÄINÖ@Jätti.example",
        "väinö@xn--jtti-loa.example",
        "mailto:väinö@XN--JTTI-LOA.example",
    ],
)
def test_one_address_in_other_spellings_is_one_person(other: str) -> None:
    assert clean_email(other) == "väinö@jätti.example"


@pytest.mark.parametrize(
    "bad",
    [
        "ä ä@jätti.example",
        "ä@ä@jätti.example",
        "ä@jätti",
        "ä@jä_tti.example",
        "a@b",
        "@x.example",
        "a@x..example",
        "a b@x.example",
        "a@x.example,b@x.example",
        "a@-x.example",
        "<a@x.example>",
        "a@127.0.0.1",
        "null@nordwind.example",
    ],
)
def test_no_addresses(bad: str) -> None:
    assert clean_email(bad) is None


def test_alias_links_two() -> None:
    ids = identifiers(emails=(), user="u1", previous="6c1d8b0e-0000-4000-8000-1234567890ab")
    assert kinds(ids) == [("user", "u1"), ("anonymous", "6c1d8b0e-0000-4000-8000-1234567890ab")]
    ids = identifiers(emails=(), user="u1", previous="anna@nordwind.example")
    assert kinds(ids) == [("email", "anna@nordwind.example"), ("user", "u1")]
    assert kinds(identifiers(emails=(), user="u2", previous="u1")) == [("user", "u2"), ("user", "u1")]
