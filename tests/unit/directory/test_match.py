"""Which account is this?"""

import ipaddress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.directory.core import accounts as accounts_module
from services.directory.core.match import Account, DirectoryView, Member, Pool, Rep
from services.directory.core.names import alikeness, company_key, company_words, distinctive
from services.directory.core.traits import company_facts, country_code, employees

NORDWIND = Account(
    domain="nordwind.example", name="Nordwind Industries Oyj", industry="manufacturing", employees=2400, country="FI", named=True,
    owner="anna", networks=("198.51.100.0/24", "2001:db8:1::/48"),
)  # fmt: skip
STELLA = Account(domain="stella.example", name="Stella Logistics AB", country="SE", owner="gone")
KIVI = Account(domain="kivi.example", name="Kivi Consulting Oy", country="FI")
VIEW = DirectoryView(
    [NORDWIND, STELLA, KIVI],
    [
        Rep(id="anna", name="Anna"),
        Rep(id="gone", active=False),
        Rep(id="chloe", manager="gone"),
        Rep(id="dan", manager="nobody"),
    ],
    [
        Pool(name="sdr", members=(Member(rep="chloe", weight=2), Member(rep="gone"), Member(rep="ghost"))),
        Pool(name="empty"),
    ],
    version=7,
)


def matched(**facts: Any) -> tuple[str, str, bool] | None:
    found = VIEW.match(**facts)
    if found is not None:
        assert found.how == found.account.matched_by
    return None if found is None else (found.account.domain, found.how, found.account.unlisted)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"email": "ville@nordwind.example"}, ("nordwind.example", "email", False)),
        ({"email": "ville@eu.mail.NORDWIND.example"}, ("nordwind.example", "email", False)),
        ({"email": "info@nordwind.example"}, ("nordwind.example", "email", False)),
        ({"domain": "https://www.nordwind.example"}, ("nordwind.example", "account", False)),
        ({"traits": {"website": "nordwind.example"}}, ("nordwind.example", "account", False)),
        ({"ip": "198.51.100.7"}, ("nordwind.example", "network", False)),
        ({"ip": "::ffff:198.51.100.7"}, ("nordwind.example", "network", False)),
        ({"ip": "2001:db8:1::7"}, ("nordwind.example", "network", False)),
        ({"ip": "203.0.113.1"}, None),
        ({"ip": "nonsense"}, None),
        # freemail says nothing, the rest does
        ({"email": "ville@gmail.com"}, None),
        ({"email": "ville@gmail.com", "ip": "198.51.100.7"}, ("nordwind.example", "network", False)),
        (
            {"email": "ville@gmail.com", "company": "NORDWIND INDUSTRIES", "country": "fi"},
            ("nordwind.example", "name", False),
        ),
        (
            {"email": "ville@gmail.com", "traits": {"company": {"name": "Nordwind Industries", "country": "FI"}}},
            ("nordwind.example", "name", False),
        ),
        ({"domain": "gmail.com"}, None),
        # a name needs support: the country, or the label of a domain
        ({"company": "Nordwind Industries"}, None),
        ({"company": "Nordwind Industries", "country": "SE"}, None),
        ({"company": "Nordwind Industries", "email": "a@nordwind.test"}, ("nordwind.example", "name", False)),
        ({"company": "Stella Logistics", "email": "a@stellalogistics.test"}, ("stella.example", "name", False)),
        ({"company": "Industries", "country": "FI"}, None),
        ({"company": "Consulting Oy", "country": "FI"}, None),
        ({"company": "Oy", "country": "FI"}, None),
        # a visitor from another company is not staff
        ({"email": "a@other.example", "ip": "198.51.100.7"}, ("other.example", "email", True)),
        ({"email": "a@other.example", "domain": "nordwind.example"}, ("nordwind.example", "account", False)),
        ({"domain": "other.example"}, ("other.example", "account", True)),
        ({"email": "a@mailinator.com"}, None),
        ({}, None),
    ],
)
def test_match(facts: dict[str, Any], expected: tuple[str, str, bool] | None) -> None:
    assert matched(**facts) == expected


def test_a_listed_account_carries_its_facts() -> None:
    found = VIEW.match(email="a@nordwind.example", traits={"employees": 5, "industry": "retail"})
    assert found is not None
    account = found.account
    assert (account.name, account.named, account.industry, account.employees, account.country, account.owner) == (
        "Nordwind Industries Oyj", True, "manufacturing", 2400, "FI", "anna",
    )  # fmt: skip


def test_an_unlisted_account_carries_the_leads_own_facts() -> None:
    found = VIEW.match(
        email="a@uusi.example",
        traits={"Company": "Uusi Oy", "industry": "Retail", "employees": "51-200", "Country": "Finland"},
    )
    assert found is not None
    account = found.account
    assert account.unlisted
    assert (account.name, account.industry, account.employees, account.country, account.owner) == (
        "Uusi Oy",
        "retail",
        51,
        "FI",
        None,
    )


def test_candidates_are_what_a_person_should_decide() -> None:
    assert [(one.domain, one.support) for one in VIEW.candidates("Nordwind Industris")] == [("nordwind.example", ())]
    assert [
        (one.domain, one.support) for one in VIEW.candidates("Nordwind Industries", country="fi", domain="nordwind.fi")
    ] == [("nordwind.example", ("country", "domain"))]
    assert VIEW.candidates("") == []
    assert VIEW.candidates("Something Else Ltd") == []


def test_two_alike_accounts_are_nobodys() -> None:
    view = DirectoryView([Account(domain=f"kivi{index}.example", name="Kivi Oy", country="FI") for index in range(2)])
    assert view.match(company="Kivi Oy", country="FI") is None
    assert len(view.candidates("Kivi", country="FI")) == 2
    # The label of a domain tells them apart only by score; a clear lead is what counts.
    view = DirectoryView(
        [
            Account(domain="a.example", name="Kivi Oy", country="FI"),
            Account(domain="b.example", name="Kivisto Oy", country="FI"),
        ]
    )
    found = view.match(company="Kivi", country="FI")
    assert found is not None
    assert found.account.domain == "a.example"


def test_answers_about_names_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "NAME_CACHE_MAX", 2)
    view = DirectoryView([KIVI])
    for name in ("Kivi Consulting", "Kivi Consulting", "b", "c", "Kivi Consulting"):
        view.match(company=name, country="FI")
    assert len(view.accounts._named) <= 2
    found = view.match(company="Kivi Consulting", country="FI")
    assert found is not None


def test_words_of_too_many_names_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "POSTING_MAX", 3)
    view = DirectoryView(
        [Account(domain=f"a{index}.example", name=f"Suomen Yritys {index:03}x", country="FI") for index in range(9)]
    )
    assert view.candidates("Suomen Yritys 004x")[0].domain == "a4.example"


def test_the_first_claim_of_a_domain_and_a_network_stands() -> None:
    view = DirectoryView(
        [
            Account(domain="a.example", networks=("192.0.2.0/24",)),
            Account(domain="a.example", name="again"),
            Account(domain="b.example", networks=("192.0.2.0/24",)),
        ]
    )
    assert len(view.accounts) == 2
    assert view.account("a.example") == Account(domain="a.example", networks=("192.0.2.0/24",))
    found = view.match(ip="192.0.2.1")
    assert found is not None
    assert found.account.domain == "a.example"


def test_accounts_by_domain() -> None:
    assert VIEW.account("nordwind.example") is NORDWIND
    assert VIEW.account("a.nordwind.example") is NORDWIND
    assert VIEW.account("example") is None
    assert VIEW.account("other.example") is None


networks_of = st.builds(
    lambda base, length: str(ip_network((base, length), strict=False)),
    st.integers(0x0B000000, 0x0B00FFFF),
    st.integers(18, 32),
)


@given(st.lists(networks_of, max_size=30, unique=True), st.integers(0x0B000000, 0x0B00FFFF))
def test_longest_prefix_wins_like_a_plain_search(claimed: list[str], number: int) -> None:
    view = DirectoryView(
        [Account(domain=f"a{index}.example", networks=(network,)) for index, network in enumerate(claimed)]
    )
    ip = ipaddress.ip_address(number)
    holding = [
        (ip_network(network).prefixlen, f"a{index}.example")
        for index, network in enumerate(claimed)
        if ip in ip_network(network)
    ]
    found = view.accounts.of_address(str(ip))
    assert (found.domain if found else None) == (max(holding)[1] if holding else None)


# -- people and problems


def test_people() -> None:
    assert VIEW.version == 7
    assert VIEW.rep("anna") == Rep(id="anna", name="Anna")
    assert VIEW.rep("ghost") is None
    assert VIEW.pool("ghost") is None
    pool = VIEW.pool("sdr")
    assert pool is not None
    assert pool.weights == {"chloe": 2, "gone": 1, "ghost": 1}


def test_problems_name_what_points_at_nobody() -> None:
    assert [(one.code, one.subject, one.rep) for one in VIEW.problems()] == [
        ("owner_inactive", "stella.example", "gone"),
        ("member_inactive", "sdr", "gone"),
        ("member_unknown", "sdr", "ghost"),
        ("pool_empty", "empty", None),
        ("manager_inactive", "chloe", "gone"),
        ("manager_unknown", "dan", "nobody"),
    ]
    assert "choose somebody else" in VIEW.problems()[0].text


def test_what_points_at_one_who_goes() -> None:
    assert VIEW.pointing_at("gone") == ["owns 1 account(s): stella.example", "sits in pool sdr", "is manager of chloe"]
    assert VIEW.pointing_at("anna") == ["owns 1 account(s): nordwind.example"]
    many = DirectoryView([Account(domain=f"a{index}.example", owner="anna") for index in range(8)])
    assert many.pointing_at("anna") == [
        "owns 8 account(s): a0.example, a1.example, a2.example, a3.example, a4.example and 3 more"
    ]
    assert many.pointing_at("ben") == []


def test_a_rep_whose_calendar_cannot_be_read_gets_nothing_and_is_told() -> None:
    view = DirectoryView(reps=[Rep(id="anna", hours="mon-fri 09:00-17:00", timezone="Mars/Base")])
    assert view.available("anna", datetime(2026, 11, 27, 10, tzinfo=UTC)).code == "outside_hours"
    assert [one.code for one in view.problems()] == ["calendar_unreadable"]


def test_availability_is_asked_anew_when_it_may_have_changed() -> None:
    view = DirectoryView(reps=[Rep(id="anna", hours="mon-fri 09:00-17:00")])
    morning = datetime(2026, 11, 27, 8, 59, tzinfo=UTC)
    assert not view.available("anna", morning).ok
    assert view.available("anna", morning) is view.available("anna", morning + timedelta(seconds=59))
    assert view.available("anna", morning + timedelta(minutes=1)).ok
    assert not view.available("anna", morning).ok, "records may come a little out of order"
    assert view.available("ghost", morning).code == "unknown"


def test_working_minutes_by_rep() -> None:
    view = DirectoryView(reps=[Rep(id="anna", hours="mon-fri 09:00-17:00")])
    friday = datetime(2026, 11, 27, 16, 50, tzinfo=UTC)
    assert view.working_minutes("anna", friday, friday + timedelta(days=3)) == 480
    assert view.working_minutes("ghost", friday, friday + timedelta(hours=1)) == 60
    assert view.working_minutes("ghost", friday, friday - timedelta(hours=1)) == 0
    assert view.after_working_minutes("anna", friday, 15) == datetime(2026, 11, 30, 9, 5, tzinfo=UTC)
    assert view.after_working_minutes("ghost", friday, 15) == friday + timedelta(minutes=15)


# -- company names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Ab Volvo (publ)", "volvo"), ("Nordwind Industries Oyj", "nordwind industries"), ("Oy Karl Fazer Ab", "karl fazer"),
        ("UPM-Kymmene Oyj Abp", "upm kymmene"), ("H&M Hennes & Mauritz AB (publ)", "h m hennes mauritz"), ("Müller GmbH & Co. KG", "muller"),
        ("AS Tallink Grupp", "tallink grupp"), ("Maersk A/S", "maersk"), ("Spa Resort Oy", "spa resort"), ("O'Neill Ltd.", "oneill"),
        ("Foo s.r.o.", "foo"), ("Bar Sp. z o.o.", "bar"), ("Ühisteenus OÜ", "uhisteenus"), ("Tmi Matti Meikäläinen", "matti meikalainen"),
        ("Acme, Inc.", "acme"), ("Acme Co., Ltd.", "acme"), ("Asunto Oy Helsingin Kruunu", "helsingin kruunu"), ("Oy", "oy"), ("", ""),
        ("Sælgerne ApS", "saelgerne"), ("Æ" * 500, "ae" * 200),
    ],
)  # fmt: skip
def test_company_key(name: str, key: str) -> None:
    assert company_key(name) == key


def test_alikeness() -> None:
    assert alikeness("Kesko Oyj", "kesko") == 100
    assert alikeness("Nord Wind Oy", "Nordwind") == 100
    assert alikeness("", "Nordwind") == 0
    assert alikeness("Nordwind Industries", "Nordwind Industris Oy") >= 90
    assert alikeness("Nordic Industries", "Nordwind Industries") < 90
    assert alikeness("Industries", "Nordwind Industries") < 80
    assert distinctive(("systems", "group")) == ("systems", "group")


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=60)
def test_alikeness_is_symmetric_bounded_and_sure_of_itself(one: str, other: str) -> None:
    assert 0 <= alikeness(one, other) <= 100
    assert alikeness(one, other) == pytest.approx(alikeness(other, one))
    assert alikeness(one, one) == (100 if company_words(one) else 0)


# -- facts from traits


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (240, 240), (240.7, 240), (0, 0), ("2 400", 2400), ("2\u00a0400", 2400), ("1,000+", 1000), ("1.000", 1000), ("10k", 10_000), ("51-200", 51),
        ("51–200 employees", 51), (">500", 500), ("~50", 50), (-1, None), (True, None), (None, None), ("many", None), ("", None), ("²", None),
        ("9" * 9, None), ("99999k", None), ("1" * 50, None), ([], None), (float("nan"), None), (float("inf"), None), (10**9, None),
    ],
)  # fmt: skip
def test_employees(value: object, expected: int | None) -> None:
    assert employees(value) == expected


def test_countries() -> None:
    assert country_code(" fi ") == "FI"
    assert country_code("uk") == "GB"
    assert country_code("Suomi") == "FI"
    assert country_code("Atlantis") is None
    assert country_code("1x") is None
    assert country_code(None) is None


def test_company_facts_of_traits() -> None:
    assert company_facts(None).company is None
    assert company_facts({}) == company_facts(None)
    facts = company_facts(
        {"company": {"name": "Acme", "website": "acme.test", "employee_count": 7}, "INDUSTRY": "SaaS", "country": 7}
    )
    assert (facts.company, facts.domain, facts.employees, facts.industry, facts.country) == (
        "Acme",
        "acme.test",
        7,
        "saas",
        None,
    )
    assert company_facts({"company": "  ", "organization": None}).company is None
    assert company_facts({"company": "x" * 500}).company == "x" * 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["company", "domain", "employees", "country", "industry", "name"]), json_values))
def test_no_traits_break_a_match(traits: dict[str, Any]) -> None:
    VIEW.match(email="a@new.example", traits=traits, ip="198.51.100.1")


def test_a_match_of_before_is_found_as_it_stands_and_nothing_above_it() -> None:
    accounts = DirectoryView([KIVI]).accounts
    assert accounts.of_match(KIVI.domain) == KIVI
    assert accounts.of_match(f"www.{KIVI.domain}") is None
    assert accounts.of_domain(f"www.{KIVI.domain}") == KIVI
