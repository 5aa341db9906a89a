"""Are these two company names the same company? Names without their legal form, and how alike they are."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from rapidfuzz import fuzz

NAME_MAX = 200  # longer is no company's name
ALIKE = 90.0  # SCIENCE.md 5: at 90 WRatio is right in 99 % of matches, at 85 in 72 to 82 %
DOUBT = 80.0  # from here a person should look

# Written with blanks where people write blanks; dots and case are gone when they are compared.
LEGAL_FORMS: Final[tuple[str, ...]] = (
    # Finland
    "oy", "oyj", "oy ab", "oyj abp", "ab oy", "abp", "tmi", "ky", "kb", "ay", "ry", "rf", "osk", "osuuskunta", "ok", "sr", "saatio",
    "osakeyhtio", "julkinen osakeyhtio", "toiminimi", "kommandiittiyhtio", "avoin yhtio", "asunto oy", "as oy", "koy", "konserni",
    # Sweden, Norway, Denmark, Iceland
    "ab", "ab publ", "publ", "aktiebolag", "aktiebolaget", "hb", "handelsbolag", "kommanditbolag", "ek for", "koncernen", "as", "asa",
    "ans", "da", "nuf", "ba", "sa", "a s", "aps", "i s", "k s", "ivs", "amba", "p s", "ehf", "hf",
    # Estonia, Latvia, Lithuania, Poland, Czechia
    "ou", "sia", "uab", "mb", "sp z o o", "sp z oo", "sp zoo", "spzoo", "sp j", "sro", "s r o",
    # Germany, Austria, Switzerland
    "gmbh", "gmbh co kg", "gmbh co", "mbh", "ag", "ag co kg", "kg", "kgaa", "ohg", "ug", "ug haftungsbeschrankt", "gbr", "se", "ev", "e v", "eg",
    # English
    "ltd", "limited", "plc", "llp", "lp", "llc", "l l c", "inc", "incorporated", "corp", "corporation", "co", "co ltd", "company", "pty ltd",
    "pty", "pte ltd", "pte", "pvt ltd", "pvt", "private limited", "cic",
    # France, Belgium, Netherlands, Italy, Spain, Portugal
    "sas", "sarl", "s a r l", "s a s", "s a", "sasu", "eurl", "sca", "bv", "b v", "nv", "n v", "bvba", "srl", "s r l", "spa", "s p a", "sl", "s l", "slu",
    "lda", "ltda", "eireli",
    # Japan, others
    "kk", "k k", "godo kaisha", "ooo", "oao", "zao", "pjsc", "jsc", "a o",
)  # fmt: skip

# Words that many companies share: they never make two names alike by themselves.
GENERIC: Final[frozenset[str]] = frozenset(
    """
    group holding holdings international global nordic nordics finland suomi sweden sverige norge europe industries industry
    industrial consulting consultants systems system solutions software technologies technology tech services service
    logistics trading foundation partners company digital data media the and of og och ja und de la le
    """.split()  # noqa: SIM905  # a table to read, not code
)

_FORMS: Final[dict[int, frozenset[tuple[str, ...]]]] = {
    size: frozenset(form for form in (tuple(text.split()) for text in LEGAL_FORMS) if len(form) == size)
    for size in (1, 2, 3, 4)
}
# Forms that are written before the name, too (Oy Karl Fazer Ab, UAB Maxima); others there are part of the name (Spa, Co, Da).
_FORMS_BEFORE: Final = frozenset(
    tuple(form.split())
    for form in (
        "oy",
        "ab",
        "as",
        "ou",
        "uab",
        "sia",
        "tmi",
        "ooo",
        "oao",
        "zao",
        "koy",
        "asunto oy",
        "as oy",
        "kiinteisto oy",
    )
)
_NOT_WORD: Final = re.compile(r"[^0-9a-zà-öø-ÿœßñ]+")
# What decomposition does not take apart but people type without.
_PLAIN: Final = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ß": "ss", "ð": "d", "þ": "th", "ł": "l", "&": " ", "+": " "}
)


def _words(name: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", name.casefold().translate(_PLAIN))
    plain = "".join(mark for mark in folded if not unicodedata.combining(mark))
    # "Oy." and "S.A." lose their dots before words are cut, so that "s.r.o" is one word.
    return [word for word in _NOT_WORD.split(re.sub(r"(?<=\w)\.(?=\w\b)|(?<=\b\w)\.|'|’", "", plain)) if word]


def _without_form(words: list[str]) -> list[str]:
    changed = True
    while changed and len(words) > 1:
        changed = False
        for size in (4, 3, 2, 1):
            if len(words) <= size:
                continue
            if tuple(words[-size:]) in _FORMS[size]:
                words, changed = words[:-size], True
                break
            if tuple(words[:size]) in _FORMS_BEFORE:
                words, changed = words[size:], True
                break
    return words


def company_words(name: str) -> tuple[str, ...]:
    """The name's words in lower case without accents and legal forms at either end: `Ab Volvo (publ)` → `volvo`.

    A name that is nothing but a legal form keeps its last word. At most 200 characters are read.
    """
    return _company_words(name[:NAME_MAX])


@lru_cache(maxsize=65_536)
def _company_words(name: str) -> tuple[str, ...]:
    return tuple(_without_form(_words(name)))


def company_key(name: str) -> str:
    """What two spellings of one company share: its words, joined by blanks; empty when there is nothing to read."""
    return " ".join(company_words(name))


def distinctive(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that tell this company from others; all of them when every word is common."""
    kept = tuple(word for word in words if word not in GENERIC)
    return kept or words


def alikeness(one: str, other: str) -> float:
    """How alike two company names are.

    Returns:
        0 to 100. Both the whole names and what is distinctive in them must be alike: `Nordic Industries` and
        `Nordwind Industries` share half their letters and are two companies.

    Source: SCIENCE.md 5, own tests A and B (WRatio, threshold 90).
    """
    left, right = company_words(one), company_words(other)
    if not left or not right:
        return 0.0
    if left == right or "".join(left) == "".join(right):
        return 100.0
    whole = fuzz.WRatio(" ".join(left), " ".join(right))
    core_left, core_right = " ".join(distinctive(left)), " ".join(distinctive(right))
    # Part-of comparisons reward a short name inside a long one ("Arc" in "Arctic"): whole words only.
    core = max(fuzz.token_sort_ratio(core_left, core_right), fuzz.token_set_ratio(core_left, core_right) * 0.95)
    return float(min(whole, core))
