"""What does a person do, and how high up? Reads a job title in English, Finnish or Swedish.

Unknown is None and is neutral: a title that nobody can read must not make a lead worse than one without a title.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple, get_args

from services.directory.core.title_words import (
    ACTING,
    DEPUTY,
    FUNCTIONS,
    LEVELS,
    NOT_NOW,
    PHRASES,
    WHOLE_COMPANY,
    Function,
    Level,
)

FUNCTION_NAMES: Final[tuple[Function, ...]] = get_args(Function)
LEVEL_NAMES: Final[tuple[Level, ...]] = get_args(Level)  # highest first
TITLE_MAX = 200  # characters read; longer is no title

_RANK: Final[dict[Level, int]] = {level: rank for rank, level in enumerate(LEVEL_NAMES)}
_LOWER: Final[dict[Level, Level]] = {"c_level": "vp", "vp": "director", "director": "head", "head": "manager"}
_LEVELS: Final = [(re.compile(pattern), level) for pattern, level in LEVELS]
_PHRASES: Final = [(re.compile(pattern), function) for pattern, function in PHRASES]
_FUNCTIONS: Final = [(re.compile(pattern), function) for pattern, function in FUNCTIONS]
_WHOLE: Final = re.compile(WHOLE_COMPANY)
_NOT_NOW: Final = re.compile(NOT_NOW)
_ACTING: Final = re.compile(ACTING)
_DEPUTY: Final = re.compile(DEPUTY)
_PLAIN: Final = str.maketrans({"ø": "o", "æ": "a", "ß": "ss", "’": "'", "–": "-", "—": "-"})
# A compound keeps its end: hr-chef is one word, vice-president two.
_COMPOUND: Final = re.compile(r"(?<=\w)-(?=(?:chef|direktor|ansvarig|paallikko|asiantuntija|insinoori|konsult)\b)")
_ROLES: Final = re.compile(r"[/|;•,&+()\n]|\b(?:and|ja|och|sekä|seka|samt)\b|(?<= )-(?= )")
_NOT_WORD: Final = re.compile(r"[^a-z0-9]+")


class Title(NamedTuple):
    """What a title says. None is unknown."""

    function: Function | None
    level: Level | None


UNKNOWN: Final = Title(None, None)


def read_title(text: str | None) -> Title:
    """Read a job title.

    Of several roles ("CEO & Founder", "Sales Manager / Student") the highest counts. Roles that the person does not hold
    ("former CEO") do not count; a deputy stands one level lower; an acting holder counts as the holder; an assistant of
    somebody is an assistant.

    Args:
        text: The title as the person or a source wrote it; 200 characters are read.

    Source: SCIENCE.md 6; measured against ESCO in tests/unit/directory/test_titles_esco.py.
    """
    return _read(text[:TITLE_MAX]) if text else UNKNOWN


@lru_cache(maxsize=16_384)
def _read(text: str) -> Title:
    roles = [role for role in _split(text) if role]
    read = [(_level(role), role) for role in roles]
    known: list[Level] = [found for found, _ in read if found is not None]
    level = LEVEL_NAMES[min(_RANK[one] for one in known)] if known else None
    # The role with the level tells the function; "VP, Operations" has it in the next one.
    ordered = [role for of_role, role in read if of_role == level] + [
        role for of_role, role in read if of_role != level
    ]
    function = next((found for role in ordered if (found := _function(role, level)) is not None), None)
    if level == "student" and function is None:
        function = "student"
    return Title(function, level)


def fold(text: str) -> str:
    """Lower case, accents gone, compounds with a hyphen before their last part joined."""
    folded = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
    plain = "".join(mark for mark in folded if not unicodedata.combining(mark))
    # "Chef, bilverkstad" is Swedish; a chef without more is a cook.
    plain = plain.replace("chef,", "chef for ")
    return _COMPOUND.sub("", plain.replace("r&d", "research development").replace("t&k", "tutkimus ja kehitys"))


def _split(text: str) -> list[str]:
    roles = []
    for part in _ROLES.split(fold(text)):
        role = _NOT_WORD.sub(" ", part).strip()
        if role and not _NOT_NOW.search(role):
            roles.append(_ACTING.sub(" ", role).strip())
    return roles


def _level(role: str) -> Level | None:
    for pattern, level in _LEVELS:
        if pattern.search(role):
            lower = level not in ("vp", "assistant", "student", "staff") and _DEPUTY.search(role)
            return _LOWER.get(level, level) if lower else level
    return None


def _function(role: str, level: Level | None) -> Function | None:
    for pattern, function in _PHRASES:
        if pattern.search(role):
            return function
    found = [(match.start(), function) for pattern, function in _FUNCTIONS if (match := pattern.search(role))]
    if found:
        return min(found)[1]
    return "general_management" if level != "assistant" and _WHOLE.search(role) else None
