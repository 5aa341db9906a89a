"""Ready messages: which one applies, and its text with the names filled in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.messages import Say

# What a template may name. The router gives the values; a name without one is left to its default, or to nothing.
TEMPLATE_NAMES: Final[frozenset[str]] = frozenset(
    (
        "lead.name", "lead.first_name", "lead.email", "lead.title", "account.name", "account.domain", "account.industry",
        "rep.name", "rep.first_name", "rep.title", "segment", "stage", "why", "what", "page", "shop_url",
    )
)  # fmt: skip

PLACE: Final = re.compile(r"\{\{\s*([^{}|]*?)\s*(?:\|\s*default\(\s*(?:\"([^\"]*)\"|'([^']*)')\s*\)\s*)?\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A ready message; None fits everything."""

    segment: str | None
    persona: str | None
    stage: str | None
    language: str | None
    subject: str
    body: str

    def fill(self, values: Mapping[str, str | None]) -> Say:
        """Subject and body with every `{{ name }}` replaced by its value, its default, or nothing."""
        return Say(subject=_filled(self.subject, values), body=_filled(self.body, values))


def _filled(text: str, values: Mapping[str, str | None]) -> str:
    return PLACE.sub(lambda m: values.get(m[1]) or m[2] or m[3] or "", text)


def names_in(text: str) -> list[str]:
    """The names in a template's text, and every piece that looks like one but is not (`{{ x | upper }}`)."""
    good = [m[1] for m in PLACE.finditer(text)]
    rest = PLACE.sub("", text)
    return good + [m.strip() for m in re.findall(r"\{\{(.*?)(?:\}\}|\Z)", rest, re.DOTALL)]


def pick_template(
    templates: Sequence[Template], segment: str | None, persona: str | None, stage: str | None, language: str | None
) -> Template | None:
    """The template with the most conditions that all hold; segment outweighs persona, stage and language. First wins."""
    wanted = (segment, persona, stage, language)
    best: Template | None = None
    best_rank: tuple[int, ...] = ()
    for template in templates:
        named = (template.segment, template.persona, template.stage, template.language)
        if all(n is None or n == w for n, w in zip(named, wanted, strict=True)):
            rank = (_count(named), *(int(n is not None) for n in named))
            if best is None or rank > best_rank:
                best, best_rank = template, rank
    return best


def _count(named: Iterable[str | None]) -> int:
    return sum(n is not None for n in named)
