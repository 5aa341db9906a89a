"""What does a title say? A table of real titles, and what must never count."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.directory.core.title_words import FUNCTIONS, LEVELS, PHRASES
from services.directory.core.titles import FUNCTION_NAMES, LEVEL_NAMES, UNKNOWN, Title, read_title

GM = "general_management"
TABLE = f"""
VP Operations | operations | vp
VP, Operations | operations | vp
Vice-President, Sales | sales | vp
Senior Vice President, Supply Chain | operations | vp
Head of Marketing | marketing | head
Head of Sales Finland | sales | head
Head of R&D | engineering | head
Head of People | hr | head
Founder | {GM} | c_level
Founder & CEO | {GM} | c_level
Co-Founder / CTO | {GM} | c_level
CFO | finance | c_level
COO | operations | c_level
CISO | it | c_level
Chief Marketing Officer | marketing | c_level
Chief Digital Officer | it | c_level
Chief of Staff | {GM} | head
Managing Director | {GM} | c_level
General Manager | {GM} | director
Country Manager Finland | {GM} | director
Owner | {GM} | c_level
Partner | {GM} | c_level
Chairman of the Board | {GM} | c_level
Sales and Marketing Director | marketing | director
Director of Sales Operations | sales | director
Marketing Operations Manager | marketing | manager
IT Manager | it | manager
Logistics Manager | operations | manager
Purchasing Manager | procurement | manager
Key Account Manager | sales | manager
Customer Success Manager | support | manager
Business Development Manager | sales | manager
Product Manager | product | manager
Product Owner | product | staff
Office Manager | administration | manager
Buyer | procurement | staff
Software Engineer | engineering | staff
Financial Controller | finance | staff
Data Protection Officer | legal | staff
Recruiter | hr | staff
Teacher | education | staff
Sales Assistant | sales | assistant
Executive Assistant to the CEO | administration | assistant
Assistant to the CEO | - | assistant
Assistant Manager | - | manager
Deputy Director | - | head
Deputy CEO | {GM} | vp
Acting CFO | finance | c_level
Interim Head of Sales | sales | head
Former CEO | - | -
ex-CTO, now advisor | - | staff
Student | student | student
Student, Aalto University | student | student
Student Affairs Manager | education | manager
Marketing Intern | marketing | student
CEO / Sales Assistant | {GM} | c_level
Chef | - | -
Head Chef | - | staff
Ninja | - | -
toimitusjohtaja | {GM} | c_level
va. toimitusjohtaja | {GM} | c_level
vt. talousjohtaja | finance | director
varatoimitusjohtaja | {GM} | vp
Toimitusjohtajan assistentti | - | assistant
johtajan assistentti | - | assistant
Johdon assistentti | administration | assistant
Entinen toimitusjohtaja | - | -
Markkinointijohtaja | marketing | director
myynti- ja markkinointijohtaja | marketing | director
Myyntipäällikkö | sales | manager
myyntipaallikko | sales | manager
Aluemyyntipäällikkö | sales | manager
Ostopäällikkö | procurement | manager
Hankintapäällikkö | procurement | manager
Talousjohtaja | finance | director
IT-johtaja | it | director
Tietohallintojohtaja | it | director
Henkilöstöjohtaja | hr | director
HR-päällikkö | hr | manager
Tuotantopäällikkö | operations | manager
Operatiivinen johtaja | operations | director
Tehtaanjohtaja | operations | director
Laatupäällikkö | operations | manager
Kehityspäällikkö | engineering | manager
Tuotepäällikkö | product | manager
Lakiasiainjohtaja | legal | director
Viestintäjohtaja | marketing | director
Kaupallinen johtaja | sales | director
Tekninen johtaja | engineering | director
Liiketoimintajohtaja | {GM} | director
Asiakaspalvelupäällikkö | support | manager
Yrittäjä | {GM} | c_level
Perustaja, hallituksen puheenjohtaja | {GM} | c_level
Apulaisjohtaja | - | head
Työnjohtaja | operations | staff
Kuoronjohtaja | - | staff
Ohjelmistokehittäjä | engineering | staff
Metsätalousinsinööri | engineering | staff
Opettaja | education | staff
Rehtori | education | director
Kauppatieteiden opiskelija | student | student
Harjoittelija, markkinointi | marketing | student
VD | {GM} | c_level
Tf. VD | {GM} | c_level
vice VD | {GM} | vp
VD-assistent | - | assistant
Tidigare VD | - | -
Verkställande direktör | {GM} | c_level
Medgrundare och VD | {GM} | c_level
Marknadschef | marketing | head
Marknadsdirektör | marketing | director
Säljchef | sales | head
Försäljningsdirektör | sales | director
HR-chef | hr | head
Inköpschef | procurement | head
Chef för inköp | procurement | head
Chef, inköp | procurement | head
Ekonomichef | finance | head
Produktionschef | operations | head
Teknisk chef | engineering | head
Teamchef | - | manager
Projektledare | - | manager
Säljare | sales | staff
Utvecklare | engineering | staff
Lärare | education | staff
Praktikant | student | student
Geschäftsführer | {GM} | c_level
"""


def table() -> Iterator[tuple[str, str | None, str | None]]:
    for row in TABLE.strip().splitlines():
        title, function, level = (cell.strip() for cell in row.rsplit("|", 2))
        yield title, None if function == "-" else function, None if level == "-" else level


@pytest.mark.parametrize(("title", "function", "level"), list(table()))
def test_title(title: str, function: str | None, level: str | None) -> None:
    assert read_title(title) == (function, level)
    assert read_title(f"  {title.upper()}  ") == (function, level)


@pytest.mark.parametrize("nothing", [None, "", "   ", "...", "🚀", "x" * 10_000])
def test_unknown_is_none(nothing: str | None) -> None:
    assert read_title(nothing) == UNKNOWN == Title(None, None)


def test_the_lexicon_uses_known_words_only() -> None:
    assert {level for _, level in LEVELS} == set(LEVEL_NAMES)
    assert {function for _, function in (*PHRASES, *FUNCTIONS)} <= set(FUNCTION_NAMES)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    function, level = read_title(text)
    assert function is None or function in FUNCTION_NAMES
    assert level is None or level in LEVEL_NAMES


@given(st.sampled_from([row[0] for row in table()]), st.sampled_from([row[0] for row in table()]))
def test_a_second_role_never_lowers_the_level(one: str, other: str) -> None:
    alone = read_title(one).level
    both = read_title(f"{one} / {other}").level
    if alone is not None:
        assert both is not None
        assert LEVEL_NAMES.index(both) <= LEVEL_NAMES.index(alone)
