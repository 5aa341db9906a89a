"""Titles against ESCO, the European list of occupations, when its folder is there (`LEAD_ROUTER_EVAL_DATA`): numbers, and a floor.

ISCO's major group 1 (managers) stands in for "manager level or higher". It is a proxy: ministers, ambassadors and head teachers are
in it, and a manager of anything below group 1 is not. Published keyword stems reach FI P .70 R .88, SV P .69 R .87, EN P .54 R .87.
"""

import json
import os
from pathlib import Path

import pytest

from services.directory.core.titles import read_title

ROOT = Path(__file__).parents[3]
FOLDERS = [Path(os.environ.get("LEAD_ROUTER_EVAL_DATA", ROOT / "data")), ROOT.parent / "shared" / "data"]
DATA = next((found for folder in FOLDERS if (found := folder / "esco_titles" / "occupations.json").is_file()), None)

HIGH = {"c_level", "vp", "director", "head", "manager"}
# ISCO groups in which the function is what the job is about.
GROUPS = {
    "finance": ("1211", "2411", "2412", "2413", "3313"),
    "sales": ("1221.3", "1221.4", "2433", "3322"),
    "procurement": ("1324.8", "3323"),
    "it": ("1330", "2511", "2522", "2523", "2529"),
    "engineering": ("214", "215", "2512", "2513", "2514", "1223"),
    "operations": ("1321", "1324"),
    "education": ("23", "1345"),
}
FLOORS = {"en": (0.70, 0.84), "fi": (0.70, 0.87), "sv": (0.70, 0.85)}

pytestmark = pytest.mark.skipif(DATA is None, reason="no ESCO data; name its folder in LEAD_ROUTER_EVAL_DATA")


def titles(language: str) -> list[tuple[str, str]]:
    assert DATA is not None
    rows = json.loads(DATA.read_text())
    return [
        (row["notation"], row["prefLabel"][language])
        for row in rows
        if "." in str(row["notation"]) and language in row["prefLabel"]
    ]


def precision_recall(found: list[tuple[bool, bool]]) -> tuple[float, float]:
    both = sum(right and said for right, said in found)
    return both / max(1, sum(said for _, said in found)), both / max(1, sum(right for right, _ in found))


@pytest.mark.parametrize("language", ["en", "fi", "sv"])
def test_levels_against_isco(language: str) -> None:
    rows = titles(language)
    precision, recall = precision_recall(
        [(code.startswith("1"), read_title(title).level in HIGH) for code, title in rows]
    )
    unknown = sum(read_title(title).level is None for _, title in rows) / len(rows)
    print(
        f"\nESCO {language}: {len(rows)} titles, manager level P {precision:.2f} R {recall:.2f}, level unknown {unknown:.2f}"
    )
    for function, groups in GROUPS.items():
        p, r = precision_recall(
            [(code.startswith(groups), read_title(title).function == function) for code, title in rows]
        )
        print(f"  {function:12} P {p:.2f} R {r:.2f}")
    assert precision >= FLOORS[language][0]
    assert recall >= FLOORS[language][1]
