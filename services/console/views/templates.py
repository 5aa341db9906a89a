"""The policy's ready messages, filled in for an example: which one a rep would get, and how each reads. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.console.filters import language_name
from services.console.views.inbox import reflow
from services.policy.core.policy import Policy
from services.policy.core.template import Template

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
    """For whom a message is looked for. Empty: not known.

    Attributes:
        language: The lead's; `languages`: the rep's, which count when it is not known.
    """

    segment: str = ""
    persona: str = ""
    stage: str = ""
    language: str = ""
    languages: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `chosen`: it is the one that fits the case best; `wheres`: where it applies."""

    wheres: list[str]
    subject: str
    body: str
    raw_subject: str
    raw_body: str
    chosen: bool
    fits: bool
    language: str | None


class Cover(msgspec.Struct, frozen=True):
    """One segment's row of the table of languages: whether there is a message of its own, a common one, or none.

    `fallback`: none in this language, so that the policy's own language is used.
    """

    label: str
    cells: list[str]


def messages(policy: Policy, case: Case, values: Mapping[str, str | None]) -> list[Message]:
    """Every message, filled in; the chosen one first."""
    wanted = (case.segment or None, case.persona or None, case.stage or None)
    best = policy.template_for(*wanted, case.language or None, case.languages)
    language = best.language if best is not None else None
    found = []
    for template in policy.templates:
        said = template.fill(values)
        named = (template.segment, template.persona, template.stage)
        fits = all(n is None or n == w for n, w in zip(named, wanted, strict=True))
        found.append(
            Message(
                wheres=_wheres(template, policy),
                subject=said.subject,
                body=reflow(said.body),
                raw_subject=template.subject,
                raw_body=template.body,
                chosen=template is best,
                fits=fits and template.language == language,
                language=template.language,
            )
        )
    return sorted(found, key=lambda one: (not one.chosen, not one.fits))


def cover(policy: Policy, spoken: Iterable[str] = ()) -> tuple[list[tuple[str, str]], list[Cover]]:
    """Languages (code, name), and for each segment what its leads get in them.

    Args:
        spoken: What the reps write in, to see what is missing.
    """
    languages = _languages(policy, spoken)
    rows = []
    for segment in policy.segments:
        cells = []
        for language in languages:
            best = policy.template_for(segment.name, None, segment.handover_at, language)
            cells.append(_cover(best, segment.name, language))
        rows.append(Cover(segment.label, cells))
    return [(one, language_name(one)) for one in languages], rows


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


def _languages(policy: Policy, spoken: Iterable[str]) -> list[str]:
    """The languages of the messages, the policy's own first, and those of the reps."""
    return list(dict.fromkeys([policy.language, *(t.language for t in policy.templates if t.language), *spoken]))


def _cover(best: Template | None, segment: str, language: str) -> str:
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
    ]
    return [
        *([one for one in found if one] or ["everybody"]),
        *([language_name(template.language)] if template.language else []),
    ]


def _first(name: str | None) -> str | None:
    words = (name or "").split()
    return words[0] if words else None


def choices(policy: Policy, spoken: Iterable[str] = ()) -> dict[str, Sequence[tuple[str, str]]]:
    """What can be chosen for a case."""
    personas = {persona.role: persona.label for persona in policy.personas}
    return {
        "segment": [(segment.name, segment.label) for segment in policy.segments],
        "persona": list(personas.items()),
        "stage": [(stage, stage.replace("_", " ")) for stage in STAGES],
        "language": [(one, language_name(one)) for one in _languages(policy, spoken)],
    }
