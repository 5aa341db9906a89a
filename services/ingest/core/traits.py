"""What do we know of person and company? Trait names as clients spell them, brought to ours."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from services.ingest.core.limits import TEXT_MAX, TRAITS_MAX
from services.ingest.core.spelling import fold

# Folded spelling to our name.
_PERSON: Final[dict[str, str]] = {
    "email": "email", "emailaddress": "email", "mail": "email",
    "name": "name", "fullname": "name", "displayname": "name",
    "firstname": "first_name", "givenname": "first_name", "lastname": "last_name", "surname": "last_name",
    "familyname": "last_name",
    "title": "title", "jobtitle": "title", "position": "title", "jobposition": "title", "role": "role",
    "jobrole": "title", "phone": "phone", "phonenumber": "phone", "mobile": "phone", "mobilephone": "phone",
    "company": "company", "companyname": "company", "organization": "company", "organisation": "company",
    "organizationname": "company",
    "industry": "industry", "companyindustry": "industry", "employees": "employees", "employeecount": "employees",
    "numberofemployees": "employees", "companysize": "employees", "numemployees": "employees",
    "country": "country", "countrycode": "country", "language": "language", "locale": "language",
    "website": "website", "companywebsite": "website", "domain": "domain", "companydomain": "domain",
}  # fmt: skip
# Of a company's own traits (`group`, `traits.company`).
_COMPANY: Final[dict[str, str]] = {
    "name": "name", "companyname": "name", "industry": "industry", "employees": "employees",
    "employeecount": "employees", "numberofemployees": "employees", "companysize": "employees", "size": "employees",
    "country": "country", "countrycode": "country", "website": "website", "domain": "domain", "url": "website",
    "companydomain": "domain", "phone": "phone", "plan": "plan", "id": "id",
}  # fmt: skip
# What people write of themselves into a form. `name` and `title` are not here: they may be the form's own.
_FILLED_IN: Final = frozenset(
    (
        "firstname", "givenname", "lastname", "surname", "familyname", "fullname", "jobtitle", "jobposition", "jobrole",
        "company", "companyname", "organization", "organisation", "organizationname",
    )
)  # fmt: skip
_CACHE_MAX = 10_000
_folded: dict[str, str] = {}


def _name(key: str, table: Mapping[str, str]) -> str | None:
    folded = _folded.get(key)
    if folded is None:
        if len(_folded) >= _CACHE_MAX:
            _folded.clear()
        folded = _folded[key] = fold(key[:64])
    return table.get(folded)


def _value(name: str, value: object) -> object:
    """The value in a form that every reader takes, or None."""
    if name == "employees":
        return employees(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.strip()[:TEXT_MAX].replace("\ufffd", "")
        return text or None
    if isinstance(value, int | float):
        return value if -(2**53) < value < 2**53 else None
    return None


def employees(value: object) -> int | None:
    """Head count from a number, `"250"`, `"1,200"`, or a range such as `"51-200"` (its lower end)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value) if 0 <= value < 1e8 else None
    if not isinstance(value, str):
        return None
    first = value.strip()[:32].replace("–", "-").partition("-")[0].rstrip("+ ")
    digits = "".join(c for c in first if c not in ", \u00a0.'")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else None


def filled_in(properties: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a form that are facts about the person who sent it, where `known` does not have them already."""
    told = {_name(key, _PERSON) for key in known}
    return {
        key: value
        for key, value in properties.items()
        if isinstance(value, str) and fold(key[:64]) in _FILLED_IN and _name(key, _PERSON) not in told
    }


def person_traits(traits: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Facts about the person, facts about the company, and whether something was left out.

    Known spellings get our name; other plain values keep theirs. The company comes from `company` (text or object)
    and from the person's own `domain` or `website`.
    """
    made: dict[str, Any] = {}
    account: dict[str, Any] = {}
    left_out = False
    for key, value in traits.items():
        name = _name(key, _PERSON) or key[:64]
        if type(value) is str and name != "employees":
            # The usual case, first: a plain text.
            text = value.strip() if len(value) <= TEXT_MAX and "\ufffd" not in value else _value(name, value)
            if text and (name == key or name not in made):
                if len(made) < TRAITS_MAX or name in made:
                    made[name] = text
                else:
                    left_out = True
            continue
        if isinstance(value, Mapping):
            if name == "company":
                account |= company_facts(value)
                if isinstance(account.get("name"), str):
                    made.setdefault("company", account["name"])
            elif fold(key) == "address":
                country = _value("country", value.get("country"))
                if isinstance(country, str):
                    made.setdefault("country", country)
            else:
                left_out = True
            continue
        clean = _value(name, value)
        if clean is None:
            left_out = left_out or value not in (None, "")
        elif len(made) >= TRAITS_MAX and name not in made:
            left_out = True
        elif name == key or name not in made:
            made[name] = clean
    if "domain" in made or "website" in made:
        domain = host_of(made.pop("domain", None)) or host_of(made.get("website"))
        if domain:
            account.setdefault("domain", domain)
    for name in ("industry", "employees"):
        if name in account:
            made.setdefault(name, account[name])
    return made, account, left_out


def company_facts(traits: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about a company under our names: domain, name, industry, employees, country, plan, id."""
    made: dict[str, Any] = {}
    for key, value in traits.items():
        name = _name(key, _COMPANY)
        if isinstance(value, Mapping):
            if fold(key) == "address":
                country = _value("country", value.get("country"))
                if isinstance(country, str):
                    made.setdefault("country", country)
            continue
        if name is not None:
            clean = _value(name, value)
            if clean is not None:
                made.setdefault(name, clean)
    domain = host_of(made.pop("domain", None)) or host_of(made.pop("website", None))
    if domain:
        made["domain"] = domain
    made.pop("website", None)
    return made


def host_of(value: object) -> str | None:
    """The host in lower case, without `www.`, of a domain or web address; None when it is none."""
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_MAX:
        return None
    text = value.strip()
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return None
    if not host or "." not in host or not host.isprintable() or " " in host or len(host) > 253:
        return None
    return host.removeprefix("www.").rstrip(".")
