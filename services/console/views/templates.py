"""The policy's ready messages, filled in for an example: which one a rep would get, and how each reads. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.console.views.inbox import reflow
from services.policy.core.policy import Policy
from services.policy.core.template import Template, pick_template

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "fi": "suomi", "sv": "svenska"}
STAGES: Final = ("unknown", "identified", "qualified", "ready_to_buy", "customer")
SAMPLE: Final[Mapping[str, str | None]] = {
    "lead.name": "Anni Virta",
    "lead.first_name": "Anni",
    "lead.email": "anni.virta@nordwind.example",
    "lead.title": "VP Operations",
    "account.name": "Nordwind Industries Oyj",
    "account.domain": "nordwind.example",
    "account.industry": "manufacturing",
    "rep.name": "Anna Aalto",
    "rep.first_name": "Anna",
    "rep.title": "Key Account Director",
    "why": "Anni Virta viewed /pricing",
    "what": "viewed /pricing",
    "page": "/pricing",
    "shop_url": None,
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a message is looked for. Empty: not known."""

    segment: str = ""
    persona: str = ""
    stage: str = ""
    language: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `chosen`: it is the one that fits the case best; `wheres`: where it applies."""

    wheres: list[str]
    subject: str
    body: str
    raw_subject: str
    raw_body: str
    chosen: bool
    fits: bool


class Cover(msgspec.Struct, frozen=True):
    """One segment's row of the table of languages: whether there is a message of its own, a common one, or none."""

    label: str
    cells: list[str]


def messages(policy: Policy, case: Case, values: Mapping[str, str | None]) -> list[Message]:
    """Every message, filled in; the chosen one first."""
    wanted = (case.segment or None, case.persona or None, case.stage or None, case.language or None)
    best = pick_template(policy.templates, *wanted)
    found = []
    for template in policy.templates:
        said = template.fill(values)
        named = (template.segment, template.persona, template.stage, template.language)
        found.append(
            Message(
                wheres=_wheres(template, policy),
                subject=said.subject,
                body=reflow(said.body),
                raw_subject=template.subject,
                raw_body=template.body,
                chosen=template is best,
                fits=all(n is None or n == w for n, w in zip(named, wanted, strict=True)),
            )
        )
    return sorted(found, key=lambda one: (not one.chosen, not one.fits))


def cover(policy: Policy) -> tuple[list[str], list[Cover]]:
    """Languages, and for each segment what its leads get in them."""
    languages = list(dict.fromkeys([*LANGUAGES, *(t.language for t in policy.templates if t.language)]))
    rows = []
    for segment in policy.segments:
        cells = []
        for language in languages:
            asked = None if language == "en" else language
            best = pick_template(policy.templates, segment.name, None, segment.handover_at, asked)
            cells.append(_cover(best, segment.name, asked))
        rows.append(Cover(segment.label, cells))
    return [LANGUAGES.get(one, one) for one in languages], rows


def example_of(
    lead: Mapping[str, Any] | None, rep: tuple[str, str] | None, shop_url: str | None
) -> dict[str, str | None]:
    """The values for a lead as the API shows it; the sample where there is none."""
    values = dict(SAMPLE) | {"shop_url": shop_url}
    if rep is not None:
        values |= {"rep.name": rep[0], "rep.first_name": _first(rep[0]), "rep.title": rep[1]}
    if lead is None:
        return values
    account = lead["account"] or {}
    return values | {
        "lead.name": lead["name"],
        "lead.first_name": _first(lead["name"]),
        "lead.email": lead["email"],
        "lead.title": lead["title"],
        "account.name": account.get("name") or account.get("domain"),
        "account.domain": account.get("domain"),
        "account.industry": account.get("industry"),
        "why": f"{lead['name'] or lead['email'] or 'Somebody'} viewed /pricing",
    }


def _cover(best: Template | None, segment: str, language: str | None) -> str:
    if best is None:
        return "none"
    if best.language != language:
        return "fallback"
    return "own" if best.segment == segment else "common"


def _wheres(template: Template, policy: Policy) -> list[str]:
    segment = policy.segment(template.segment)
    persona = next((p.label for p in policy.personas if p.role == template.persona), template.persona)
    found = [
        segment.label if segment is not None else template.segment,
        persona,
        template.stage.replace("_", " ") if template.stage else None,
        LANGUAGES.get(template.language or "", template.language),
    ]
    return [one for one in found if one] or ["everybody"]


def _first(name: str | None) -> str | None:
    words = (name or "").split()
    return words[0] if words else None


def choices(policy: Policy) -> dict[str, Sequence[tuple[str, str]]]:
    """What can be chosen for a case."""
    personas = {persona.role: persona.label for persona in policy.personas}
    languages = dict.fromkeys([*LANGUAGES, *(t.language for t in policy.templates if t.language)])
    return {
        "segment": [(segment.name, segment.label) for segment in policy.segments],
        "persona": list(personas.items()),
        "stage": [(stage, stage.replace("_", " ")) for stage in STAGES],
        "language": [(one, LANGUAGES.get(one, one)) for one in languages if one],
    }
