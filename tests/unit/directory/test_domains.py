"""Which company does an address belong to?"""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.directory.core import domains
from services.directory.core.domains import (
    address,
    corporate_domain,
    email_domain,
    host,
    is_disposable,
    is_freemail,
    is_role_mailbox,
    registrable,
    spelled,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nordwind.example", "nordwind.example"),
        ("mail.nordwind.example", "nordwind.example"),
        ("Nordwind.EXAMPLE.", "nordwind.example"),
        ("https://www.nordwind.example/about?x=1#y", "nordwind.example"),
        ("http://user@nordwind.example:8080", "nordwind.example"),
        ("a.b.co.uk", "b.co.uk"),
        ("foo.test", "foo.test"),
        ("shop.myshopify.com", "shop.myshopify.com"),
        ("äänekoski.fi", "xn--nekoski-4waa.fi"),
        ("XN--NEKOSKI-4WAA.fi", "xn--nekoski-4waa.fi"),
        ("straße.example", "xn--strae-oqa.example"),
        ("co.uk", None),
        ("localhost", None),
        ("198.51.100.7", None),
        ("[2001:db8::1]", None),
        ("", None),
        ("a..b", None),
        ("-a.example", None),
        ("a_b.example", None),
        ("a b.example", None),
        ("\u200d.example", None),
        ("x" * 64 + ".example", None),
        (".".join(["abcdefgh"] * 40), None),
        ("a" * 3000, None),
        ("ä" * 200 + ".example", None),
    ],
)
def test_registrable(text: str, expected: str | None) -> None:
    assert registrable(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Anna@Nordwind.EXAMPLE ", "anna@nordwind.example"),
        ("väinö@jätti.example", "väinö@jätti.example"),
        ("VÄINÖ@JÄTTI.example", "väinö@jätti.example"),
        ("va\u0308ino\u0308@ja\u0308tti.example", "väinö@jätti.example"),
        ("väinö@xn--jtti-loa.example", "väinö@jätti.example"),
        ("a@mail.XN--JTTI-LOA.example", "a@mail.jätti.example"),
        ("a@straße.example", "a@straße.example"),
        ("a@xn--ls8h.example", "a@xn--ls8h.example"),
        ("jätkä", "jätkä"),
        ("a@ä/b.example", "a@ä/b.example"),
    ],
)
def test_an_address_has_one_spelling(text: str, expected: str) -> None:
    assert spelled(text) == expected


@given(st.text(max_size=40) | st.emails())
def test_the_spelling_of_a_spelling_is_itself(text: str) -> None:
    assert spelled(spelled(text)) == spelled(text)


def test_a_name_that_grows_too_long_in_idna_is_none() -> None:
    assert host(".".join(["ä" * 12] * 20)) is None


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        (" Ville@Mail.Nordwind.example ", "mail.nordwind.example"),
        ("a@gmail.com", "gmail.com"),
        ('"odd@local"@nordwind.example', "nordwind.example"),
        ("matti@yritys.fi", "yritys.fi"),
        ("@nordwind.example", None),
        ("nordwind.example", None),
        ("a@", None),
        ("a b@nordwind.example", None),
        ("a@https://nordwind.example", None),
        ("a@nordwind.example/x", None),
        ("x" * 65 + "@nordwind.example", None),
        ("a@" + "b" * 250 + ".example", None),
        ("a" * 10_000, None),
    ],
)
def test_email_domain(email: str, expected: str | None) -> None:
    assert email_domain(email) == expected


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "GMAIL.com", "saunalahti.fi", "welho.com", "netikka.fi", "kotiportti.fi", "surffi.fi", "kymp.net", "hey.com",
     "proton.me", "protonmail.com", "pm.me", "pp.inet.fi", "kolumbus.fi", "luukku.com", "x.gmail.com"],
)  # fmt: skip
def test_freemail(domain: str) -> None:
    assert is_freemail(domain)
    assert corporate_domain(f"matti@{domain}") is None


def test_what_is_no_freemail() -> None:
    assert not is_freemail("nordwind.example")
    assert not is_freemail("not a domain")
    assert corporate_domain("a@mail.nordwind.example") == "nordwind.example"
    assert corporate_domain("nonsense") is None
    assert corporate_domain("a@co.uk") is None


def test_throw_away_domains() -> None:
    assert is_disposable("www.10minutemail.example")
    assert corporate_domain("a@mytempmail.example") is None
    assert not is_disposable("nordwind.example")
    assert not is_disposable("nonsense")


@pytest.mark.parametrize(
    "local",
    ["info", "Sales", "myynti", "kontakt", "noreply", "no-reply", "no.reply", "no_reply", "donotreply", "info2", "info+x", "sales.fi",
     "info-nordics", "uk.support", "customer-service", "asiakaspalvelu", "försäljning", "it-support", "office.helsinki"],
)  # fmt: skip
def test_role_mailboxes(local: str) -> None:
    assert is_role_mailbox(f"{local}@nordwind.example")


@pytest.mark.parametrize(
    "local",
    ["anna", "anna.info", "salesman", "ville.virtanen", "fi", "first.last+sales", "a.it", "it.virtanen", "+info"],
)
def test_people(local: str) -> None:
    assert not is_role_mailbox(f"{local}@nordwind.example")


def test_no_address_is_no_role_mailbox() -> None:
    assert not is_role_mailbox("info")


def test_addresses() -> None:
    assert address(" 198.51.100.7 ") == ipaddress.ip_address("198.51.100.7")
    assert address("::ffff:198.51.100.7") == ipaddress.ip_address("198.51.100.7")
    assert address("2001:db8::1%eth0") == ipaddress.ip_address("2001:db8::1")
    assert address("nonsense") is None
    assert address("1" * 100) is None


@given(st.text(max_size=300))
def test_nothing_that_people_write_breaks_the_reading(text: str) -> None:
    for read in (host, registrable, email_domain, corporate_domain, is_role_mailbox, is_freemail, is_disposable):
        read(text)
        read(f"a@{text}")
    address(text)


label = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)


@given(st.lists(label, min_size=2, max_size=5))
def test_registrable_is_a_suffix_and_stands(labels: list[str]) -> None:
    name = ".".join(labels)
    found = registrable(name)
    if found is not None:
        assert name == found or name.endswith("." + found)
        assert registrable(found) == found
        assert registrable("sub." + name) is not None


def test_what_is_too_long_is_never_kept() -> None:
    sizes = [
        cached.cache_info().currsize
        for cached in (domains._host, domains._registrable, domains._split, domains._is_role_mailbox)
    ]
    for read in (host, registrable, email_domain, corporate_domain, is_role_mailbox):
        assert not read("a@" + "b" * 5000 + ".example")
    assert sizes == [
        cached.cache_info().currsize
        for cached in (domains._host, domains._registrable, domains._split, domains._is_role_mailbox)
    ]
