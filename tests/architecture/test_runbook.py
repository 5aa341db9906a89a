"""Whoever meets a code at night finds it in docs/runbook.md: codes and metrics are read from the source."""

import re

from tests.support.codes import ELSEWHERE, MADE, ROOT, SERVICES, all_codes, all_metrics, made_up

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
HEADINGS = {
    word for line in RUNBOOK.splitlines() if line.startswith("#### ") for word in re.findall(r"`([a-z0-9_]+)`", line)
}


def test_every_code_has_a_heading() -> None:
    missing = {code: sorted(files) for code, files in all_codes().items() if code not in HEADINGS}
    assert not missing, "write in docs/runbook.md what each means and what to do first"


def test_every_metric_has_a_heading_and_the_one_prefix() -> None:
    metrics = all_metrics()
    assert not metrics - HEADINGS
    assert all(name.startswith("leadrouter_") for name in metrics)


def test_no_heading_is_about_something_that_is_gone() -> None:
    assert not HEADINGS - set(all_codes()) - all_metrics()


def test_each_code_is_explained_once() -> None:
    words = [
        w for line in RUNBOOK.splitlines() if line.startswith("#### ") for w in re.findall(r"`([a-z0-9_]+)`", line)
    ]
    assert sorted(words) == sorted(set(words))


def test_every_heading_is_followed_by_words() -> None:
    for heading, text in re.findall(r"(?m)^#### (.*)\n((?:(?!#).*\n?)*)", RUNBOOK):
        assert len(text.split()) >= 4, heading


def test_codes_made_up_at_run_time_are_named() -> None:
    """A code that cannot be read from the source must be listed, so that it gets its heading too."""
    assert made_up() == set(MADE), "name in tests/support/codes.py which codes this expression can make"
    for file, codes in ELSEWHERE.items():
        text = (SERVICES / file).read_text()
        assert all(f'"{code}"' in text for code in codes), file


def test_the_collector_sees_what_it_should() -> None:
    found = all_codes()
    for code in ("already_taken", "placeholder_id", "not_a_tracking_event", "undecodable", "bad_message", "internal"):
        assert code in found
    assert len(found) > 150
