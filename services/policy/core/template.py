"""Ready messages: which one applies, and its text with the names filled in.

Most texts hold nothing but `{{ name | default("…") }}`: they are cut into pieces once. Those with conditions or other
filters are a part of Jinja (`sentences.py`). A lone `{%` or `{#` in a text is what it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.messages import Say
from services.policy.core.languages import code_of
from services.policy.core.problems import did_you_mean
from services.policy.core.sentences import MOST_CHARS, Fault, faults, filled

# What a template may name. The router gives the values; a name without one is left to its default, or to nothing.
TEMPLATE_NAMES: Final[frozenset[str]] = frozenset(
    (
        "lead.name", "lead.first_name", "lead.email", "lead.title", "account.name", "account.domain", "account.industry",
        "rep.name", "rep.first_name", "rep.title", "segment", "stage", "why", "what", "page", "shop_url",
    )
)  # fmt: skip

_CONDITION: Final = re.compile(r"\{%[-+]?\s*(?:if|elif|else|endif)\b")
PLACE: Final = re.compile(r"\{\{\s*([^{}|]*?)\s*(?:\|\s*default\(\s*(?:\"([^\"]*)\"|'([^']*)')\s*\)\s*)?\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A ready message; None fits everything. `language`: what it is written in; None: not known."""

    segment: str | None
    persona: str | None
    stage: str | None
    language: str | None
    subject: str
    body: str

    def fill(self, values: Mapping[str, str | None]) -> Say:
        """Subject and body with every `{{ name }}` replaced by its value, its default, or nothing."""
        return Say(subject=_filled(self.subject, values), body=_filled(self.body, values), language=self.language)


def _filled(text: str, values: Mapping[str, str | None]) -> str:
    if _is_jinja(text):
        return filled(text, values)
    return "".join([before + (values.get(name) or default) for before, name, default in _pieces(text)])[:MOST_CHARS]


@lru_cache(maxsize=1024)
def _is_jinja(text: str) -> bool:
    return _CONDITION.search(text) is not None or "{{" in PLACE.sub("", text)


@lru_cache(maxsize=1024)
def _pieces(text: str) -> tuple[tuple[str, str, str], ...]:
    """The text cut at its places: what stands before each, its name, its default. The rest has a name that nothing has."""
    found: list[tuple[str, str, str]] = []
    end = 0
    for place in PLACE.finditer(text):
        found.append((text[end : place.start()], place[1], place[2] or place[3] or ""))
        end = place.end()
    return (*found, (text[end:], "", ""))


def wrong_in(text: str) -> list[Fault]:
    """Everything in a template's text that cannot be filled in, with its place."""
    if _is_jinja(text):
        return faults(text, TEMPLATE_NAMES)
    known = sorted(TEMPLATE_NAMES)
    found = []
    for place in PLACE.finditer(text):
        name = place[1]
        if name not in TEMPLATE_NAMES:
            before = text[: place.start(1)]
            hint = did_you_mean(name, known) or f"one of {', '.join(known)}"
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            found.append(Fault(line=line, column=column, message=f"unknown name {{{{ {name} }}}}", hint=hint))
    return found


def pick_template(
    templates: Sequence[Template],
    segment: str | None,
    persona: str | None,
    stage: str | None,
    languages: Sequence[str],
) -> Template | None:
    """The template in the first language that has one, with the most conditions that all hold.

    Segment outweighs persona, and persona stage; among equals the first wins.

    Args:
        languages: Codes in the order of preference (`languages_for`).
    """
    for language in dict.fromkeys(languages):
        found = _best([one for one in templates if one.language == language], (segment, persona, stage))
        if found is not None:
            return found
    return None


def languages_for(lead: str | None, rep: Sequence[str], default: str) -> tuple[str, ...]:
    """In which languages a message to the lead may be, most wanted first.

    The reader decides: a lead's own language where it is known, else the policy's. Of a lead whose language nobody knows,
    the rep's languages in their order.
    """
    own = code_of(lead)
    return (*((own,) if own is not None else rep), default)


def _best(templates: Sequence[Template], wanted: tuple[str | None, ...]) -> Template | None:
    best: Template | None = None
    best_rank: tuple[int, ...] = ()
    for template in templates:
        named = (template.segment, template.persona, template.stage)
        if all(n is None or n == w for n, w in zip(named, wanted, strict=True)):
            rank = (sum(n is not None for n in named), *(int(n is not None) for n in named))
            if best is None or rank > best_rank:
                best, best_rank = template, rank
    return best
