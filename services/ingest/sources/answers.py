"""What did somebody write into a form? Questions in a company's own words, brought to facts about the person."""

import re
from collections.abc import Iterable
from typing import Any, Final

# The first that matches counts, so what is more special stands first.
_QUESTIONS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"e-?mail|courriel", "email"),
        (r"first[\s_-]*name|given[\s_-]*name|etunimi|vorname", "first_name"),
        (r"last[\s_-]*name|surname|family[\s_-]*name|sukunimi|nachname", "last_name"),
        (r"job[\s_-]*(title|position|role)|position|your (title|role)|^title$|^role$", "title"),
        (r"number of employees|employee|company[\s_-]*size|team[\s_-]*size|headcount", "employees"),
        (r"company[\s_-]*(web ?site|domain|url)|^website$", "website"),
        (r"industry|sector", "industry"),
        (r"company|organi[sz]ation|employer|business name|firma|yritys", "company"),
        (r"phone|mobile|telephone", "phone"),
        (r"country", "country"),
        (r"^(your[\s_-]*|full[\s_-]*|enter[\s_-]*)?name$|full[\s_-]*name|what('?s| is) your name", "name"),
    )
)
QUESTION_MAX: Final = 200


def fact_of(question: object) -> str | None:
    """The fact that a question asks for, or None."""
    if not isinstance(question, str):
        return None
    text = question.strip()[:QUESTION_MAX]
    return next((name for pattern, name in _QUESTIONS if pattern.search(text)), None)


def facts(answered: Iterable[tuple[object, Any]]) -> dict[str, Any]:
    """Facts from pairs of question and answer; the first answer to each counts. A list gives its first element."""
    made: dict[str, Any] = {}
    for question, answer in answered:
        value = answer[0] if isinstance(answer, list) and answer else answer
        name = fact_of(question)
        if name is not None and isinstance(value, str | int | float) and value not in ("", True, False):
            made.setdefault(name, value)
    return made
