"""Changes in words."""

import json
from typing import Any

import pytest

from services.policy.core.diff import diff_policies
from services.policy.core.document import read_document


def changes(example_text: str, change: Any) -> list[str]:
    document = read_document(example_text).data
    change(document)
    return [one.text for one in diff_policies(example_text, json.dumps(document))]


def setting(*path: Any) -> Any:
    def change(document: Any) -> None:
        *above, last, value = path
        for step in above:
            document = document[step]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("signals", "email.clicked", "points", 8), "signal email.clicked, points: 6 → 8"),
        (("signals", "email.clicked", "half_life", "12h"), "signal email.clicked, half life: 14d → 12h"),
        (("signals", "email.clicked", "half_life", "1w"), "signal email.clicked, half life: 14d → 1w"),
        (("signals", "email.clicked", "half_life", "90m"), "signal email.clicked, half life: 14d → 90m"),
        (("signals", "email.clicked", None), "signal email.clicked removed (points 6, half life 14d, daily cap 20, saturation 30)"),
        (("signals", "trial_started", {"name": "Trial", "points": 5}), "signal trial_started added (points 5, half life 30d, daily cap 20)"),
        (("segments", 1, "handover_at", "ready_to_buy"), "segment midmarket, handover at: qualified → ready_to_buy"),
        (("segments", 0, "shop_url", "https://a.example"), "segment enterprise, shop url added: https://a.example"),
        (("stages", "identified", "lead.known"), 'stage identified: lead.known && fit.grade in ["A", "B", "C"] → lead.known'),
        (("icp", "industries", ["manufacturing", "energy", "logistics", "retail"]), "icp, industries: added energy; removed software"),
        (("icp", "industries", ["retail", "software", "logistics", "manufacturing"]), "icp, industries: another order"),
        (("icp", "countries", []), "icp, countries: removed FI, SE, NO, DK, EE, DE"),
        (("icp", "employees", "from", 10), "icp, employees, from: 2 → 10"),
        (("personas", 2, "levels", ["c_level"]), "persona decision_maker, levels: removed vp, director, head"),
        (("personas", 0, "never_buys", False), "persona student, never buys: yes → no"),
        (("fit", "company", "size", [{"from": 1000, "points": 15}, {"from": 50, "points": 12}]), "fit, company, size: removed from 10, points 6"),
        (("cooldown", "bot", "3w"), "cool-down after bot: 14d → 21d"),
        (("goals", "all", "acceptance", 0.9), "goal for all, acceptance: 0.7 → 0.9"),
        (("alerts", "fresh_s", 60), "alerts, fresh s: 120 → 60"),
        (("spellings", "X", "email.clicked"), "spelling X added: email.clicked"),
        (("spellings", "Book a Demo", None), "spelling Book a Demo removed: demo.requested"),
        (("templates", 1, "subject", "x" * 200), f"template enterprise, fi, subject: Aurora ja {{{{ account.name | default(\"te\") }}}} → {'x' * 117}…"),
        (("fit", "company", "size", [{"from": 1000, "points": 15.0}]), "fit, company, size: removed from 50, points 12, from 10, points 6"),
        (("cadences", 0, "segments", []), "cadence first-two-weeks, segments: removed enterprise, midmarket"),
        (("cadences", 0, "start", "offered"), "cadence first-two-weeks, start: accepted → offered"),
        (("about", "new"), "about: The example company. Enterprise to the account owner, mid-market to the SDRs, small customers to the web shop. → new"),
    ],
)  # fmt: skip
def test_one_change(example_text: str, path: tuple[Any, ...], words: str) -> None:
    assert changes(example_text, setting(*path)) == [words]


def test_the_order_of_segments_is_a_change(example_text: str) -> None:
    found = changes(example_text, lambda d: d["segments"].reverse())
    assert found == ["segments: the order is now volume, midmarket, enterprise (was enterprise, midmarket, volume)"]


def test_a_segment_comes_and_goes(example_text: str) -> None:
    def change(document: Any) -> None:
        document["segments"][0]["name"] = "key_accounts"
        document["cadences"][0]["segments"].remove("enterprise")
        document["templates"] = [t for t in document["templates"] if t.get("segment") != "enterprise"]
        del document["goals"]["enterprise"]

    found = changes(example_text, change)
    assert found[0].startswith("segment enterprise removed (name enterprise, label Enterprise")
    assert found[1].startswith("segment key_accounts added (name key_accounts")
    assert len(found) == 7


def test_two_messages_for_the_same_case(example_text: str) -> None:
    found = changes(example_text, lambda d: d["templates"].append({"subject": "Second", "body": "x"}))
    assert found == ["template for everybody (2) added (subject Second, body x)"]


def test_comments_order_of_keys_and_defaults_are_no_changes(example_text: str) -> None:
    def change(document: Any) -> None:
        document["signals"]["email.clicked"]["daily_cap"] = 20
        document["segments"][0] = dict(reversed(document["segments"][0].items()))

    assert changes(example_text, change) == []


def test_flags_in_new_things_are_not_listed_as_numbers(example_text: str) -> None:
    found = changes(
        example_text, lambda d: d["personas"].append({"role": "owner", "functions": ["x"], "never_buys": True})
    )
    assert found == ["persona owner added (role owner)"]
