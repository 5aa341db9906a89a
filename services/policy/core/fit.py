"""Is it the right company, and the right person? Points by the policy, a grade, and reasons in words."""

import re
from typing import Literal

from schemas.messages import AccountRef, Fit, PersonRef, Reason
from services.policy.core.policy import FitTable, Persona, Policy
from services.policy.core.words import number, shown

_VOWEL = re.compile(r"(?!us|uni|eu|one)[aeiou]", re.IGNORECASE)

Grade = Literal["A", "B", "C", "D"]


def fit_of(account: AccountRef | None, person: PersonRef, policy: Policy) -> Fit:
    """Fit of a lead.

    Args:
        account: The company; None when nobody knows it, which gives no points.
        person: `function` and `level` decide the role; without both, a `role` that is already set counts.

    Returns:
        Score 0 to 100, one decimal; reasons with their points, company first. Unknown facts are neutral, not bad.
    """
    company = _company(account, policy)
    persona = policy.persona_of(person.function, person.level)
    role = persona.role if persona else person.role if person.function is None and person.level is None else None
    reasons = [*company, *_person(person, persona, role, policy.fit)]
    score = round(100 * sum(r.points or 0.0 for r in reasons) / policy.fit.most, 1)
    if persona is not None and persona.never_buys:
        reasons.append(
            Reason(code="fit_never_buys", text=f"{_article(persona.label)} does not buy from us: grade D", points=0.0)
        )
        return Fit(grade="D", score=score, reasons=reasons)
    return Fit(grade=_grade(score, policy.fit), score=score, reasons=reasons)


def _grade(score: float, table: FitTable) -> Grade:
    if score >= table.grade_a:
        return "A"
    if score >= table.grade_b:
        return "B"
    return "C" if score >= table.grade_c else "D"


def _company(account: AccountRef | None, policy: Policy) -> list[Reason]:
    if account is None:
        return [Reason(code="fit_company_unknown", text="the company is not known", points=0.0)]
    icp, table = policy.icp, policy.fit
    return [
        _industry(account.industry, icp.industries, table),
        _size(account.employees, policy),
        _country(account.country, icp.countries, table),
    ]


def _industry(industry: str | None, wanted: tuple[str, ...], table: FitTable) -> Reason:
    if not industry:
        return Reason(code="fit_industry_unknown", text="the industry is not known", points=table.unknown_industry)
    if industry.strip().casefold() in wanted:
        return Reason(
            code="fit_industry",
            text=f"{shown(industry)} is one of our industries",
            seen=industry,
            points=table.industry,
        )
    return Reason(
        code="fit_industry_other", text=f"{shown(industry)} is not one of our industries", seen=industry, points=0.0
    )


def _size(employees: int | None, policy: Policy) -> Reason:
    icp, table = policy.icp, policy.fit
    if employees is None:
        return Reason(code="fit_size_unknown", text="the company's size is not known", points=table.unknown_size)
    people = f"{number(employees)} {'employee' if employees == 1 else 'employees'}"
    if employees < icp.employees_from:
        text = f"{people} is fewer than the {number(icp.employees_from)} we look for"
        return Reason(code="fit_size_other", text=text, seen=employees, limit=icp.employees_from, points=0.0)
    if icp.employees_to is not None and employees > icp.employees_to:
        text = f"{people} is more than the {number(icp.employees_to)} we look for"
        return Reason(code="fit_size_other", text=text, seen=employees, limit=icp.employees_to, points=0.0)
    at_least, points = next(((n, p) for n, p in table.sizes if employees >= n), (None, 0.0))
    text = people if at_least is None or at_least == 0 else f"{people}: {number(at_least)} or more"
    return Reason(code="fit_size", text=text, seen=employees, limit=at_least, points=points)


def _country(country: str | None, wanted: tuple[str, ...], table: FitTable) -> Reason:
    if not wanted:
        return Reason(code="fit_country", text="every country is right", seen=country, points=table.country)
    if not country:
        return Reason(
            code="fit_country_unknown", text="the company's country is not known", points=table.unknown_country
        )
    if country.strip().upper() in wanted:
        return Reason(
            code="fit_country", text=f"{country.upper()} is one of our countries", seen=country, points=table.country
        )
    return Reason(
        code="fit_country_other", text=f"{country.upper()} is not one of our countries", seen=country, points=0.0
    )


def _person(person: PersonRef, persona: Persona | None, role: str | None, table: FitTable) -> list[Reason]:
    title = f'"{person.title}"' if person.title else None
    if role is not None:
        label = persona.label if persona and persona.label else shown(role)
        text = f"{title} is {_article(label)}" if title else f"the person is {_article(label)}"
        found = [Reason(code="fit_role", text=text, seen=role, points=table.roles.get(role, 0.0))]
        level_points = table.levels.get(person.level or "", 0.0)
        if level_points and not (persona and persona.never_buys) and table.roles.get(role):
            text = f"level: {shown(person.level).replace('c level', 'C-level').replace('vp', 'VP')}"
            found.append(Reason(code="fit_level", text=text, seen=person.level, points=level_points))
        return found
    if person.function is None:
        text = f"{title} tells us no role" if title else "the person's title is not known"
        return [Reason(code="fit_role_unknown", text=text, points=table.unknown_person)]
    text = f"{title} is no role that we sell to" if title else f"{shown(person.function)} is no role that we sell to"
    return [Reason(code="fit_role_other", text=text, seen=person.function, points=0.0)]


def _article(noun: str) -> str:
    """`a decision maker`, `an influencer`."""
    return f"{'an' if _VOWEL.match(noun) else 'a'} {noun}"
