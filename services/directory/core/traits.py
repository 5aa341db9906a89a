"""What does the lead itself say of its company? Read from the traits of many sources, bounded and without belief."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from schemas.messages import AccountRef

TEXT_MAX = 200
EMPLOYEES_MAX = 10_000_000  # the largest employer on earth has 2.3 million

# Spellings of sources, compared without case and separators.
_COMPANY: Final = (
    "company",
    "companyname",
    "organization",
    "organisation",
    "account",
    "accountname",
    "yritys",
    "foretag",
    "företag",
)
_DOMAIN: Final = ("companydomain", "domain", "website", "companywebsite", "companyurl")
_INDUSTRY: Final = ("industry", "companyindustry", "toimiala", "bransch")
_EMPLOYEES: Final = (
    "employees",
    "companysize",
    "numberofemployees",
    "numemployees",
    "employeecount",
    "headcount",
    "henkilosto",
)
_COUNTRY: Final = ("country", "countrycode", "companycountry", "maa", "land")


class CompanyFacts(msgspec.Struct, frozen=True):
    """The company in a lead's own words."""

    company: str | None = None
    domain: str | None = None
    industry: str | None = None
    employees: int | None = None
    country: str | None = None

    def reference(
        self, domain: str, how: Literal["email", "account", "network", "name"], country: str | None
    ) -> AccountRef:
        """An account that the directory does not hold."""
        return AccountRef(
            domain=domain,
            name=self.company or "",
            industry=self.industry,
            employees=self.employees,
            country=country or self.country,
            matched_by=how,
            unlisted=True,
        )


NOTHING: Final = CompanyFacts()


def company_facts(traits: Mapping[str, Any] | None) -> CompanyFacts:
    """The facts in a lead's traits; what cannot be read is None. A nested `company` object counts like flat traits."""
    if not traits:
        return NOTHING
    flat = _flat(traits)
    return CompanyFacts(
        company=_text(flat, _COMPANY),
        domain=_text(flat, _DOMAIN),
        industry=_lower(_text(flat, _INDUSTRY)),
        employees=employees(_first(flat, _EMPLOYEES)),
        country=country_code(_text(flat, _COUNTRY)),
    )


def employees(value: object) -> int | None:
    """A head count as sources write it: 240, "2 400", "51-200" (its lower end), "1,000+", "10k"; None when it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if 0 <= value <= EMPLOYEES_MAX else None
    if not isinstance(value, str) or len(value) > 40:
        return None
    text = value.strip().lower().replace("–", "-").removesuffix("employees").strip()
    low = text.partition("-")[0].strip().removesuffix("+").lstrip(">~ ").strip()
    times = 1000 if low.endswith("k") else 1
    digits = "".join(sign for sign in low.removesuffix("k") if sign not in " \u00a0\u202f,.'")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 8:
        return None
    found = int(digits) * times
    return found if found <= EMPLOYEES_MAX else None


def country_code(text: str | None) -> str | None:
    """Two letters, upper case; the names of our neighbours are known too; None otherwise."""
    if text is None:
        return None
    key = text.strip().casefold()
    if len(key) == 2 and key.isascii() and key.isalpha():
        return "GB" if key == "uk" else key.upper()
    return _COUNTRIES.get(key)


def _flat(traits: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in traits.items():
        name = _plain(key)
        if isinstance(value, Mapping) and name in _COMPANY:
            for inner, inside in value.items():
                flat.setdefault("company" if _plain(inner) == "name" else _plain(inner), inside)
        else:
            flat.setdefault(name, value)
    return flat


def _plain(key: object) -> str:
    return "".join(sign for sign in str(key)[:60].lower() if sign.isalnum())


def _first(flat: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((flat[name] for name in names if flat.get(name) not in (None, "")), None)


def _text(flat: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    value = _first(flat, names)
    return (value.strip()[:TEXT_MAX] or None) if isinstance(value, str) else None


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


_COUNTRIES: Final[Mapping[str, str]] = {
    "finland": "FI", "suomi": "FI", "fin": "FI", "sweden": "SE", "sverige": "SE", "ruotsi": "SE", "swe": "SE",
    "norway": "NO", "norge": "NO", "norja": "NO", "nor": "NO", "denmark": "DK", "danmark": "DK", "tanska": "DK", "dnk": "DK",
    "estonia": "EE", "eesti": "EE", "viro": "EE", "germany": "DE", "deutschland": "DE", "saksa": "DE", "deu": "DE",
    "united kingdom": "GB", "great britain": "GB", "england": "GB", "gbr": "GB", "united states": "US", "usa": "US",
    "united states of america": "US", "france": "FR", "spain": "ES", "italy": "IT", "netherlands": "NL", "poland": "PL",
    "latvia": "LV", "lithuania": "LT", "iceland": "IS", "ireland": "IE", "switzerland": "CH", "austria": "AT", "belgium": "BE",
}  # fmt: skip
