"""Which signal is meant?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.signals import SIGNAL_MAX, SIGNALS
from services.ingest.core.limits import BadItem
from services.ingest.core.spelling import NAMES, Speller, custom_signal, fold

SPELLER = Speller()


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("Email Opened", "email.opened"),
        ("email_opened", "email.opened"),
        ("emailOpened", "email.opened"),
        ("EMAIL-OPENED", "email.opened"),
        ("email.opened", "email.opened"),
        ("Form Submitted", "form.submitted"),
        ("Product Signed Up", "product.signed_up"),
        ("Signed Up", "product.signed_up"),
        ("Demo Requested", "demo.requested"),
        ("Webinar Attended", "webinar.attended"),
        ("Content Downloaded", "content.downloaded"),
        ("Email Link Clicked", "email.clicked"),
        ("$pageview", "page.viewed"),
        ("com.example.email.opened", "email.opened"),
        ("Song Played", "song_played"),
        ("songPlayed", "song_played"),
        ("Sähköposti avattu!", "sähköposti_avattu"),
    ],
)
def test_spellings(name: str, signal: str) -> None:
    assert SPELLER.signal(name) == signal


@pytest.mark.parametrize("signal", sorted(SIGNALS))
def test_every_signal_knows_its_own_name(signal: str) -> None:
    for name in (signal, signal.replace(".", " ").title(), signal.replace(".", "_").upper()):
        assert SPELLER.signal(name) == signal


def test_no_name_means_two_signals() -> None:
    seen: dict[str, str] = {}
    for signal, names in NAMES.items():
        for name in names:
            assert seen.setdefault(fold(name), signal) == signal


def test_the_companys_own_spellings_go_first() -> None:
    speller = Speller({"Lead Form Sent": "form.submitted", "emailopened": "newsletter_opened"})
    assert speller.signal("lead_form_sent") == "form.submitted"
    assert speller.signal("Email Opened") == "newsletter_opened"


@pytest.mark.parametrize(
    ("name", "code"),
    [("", "no_name"), ("!!!", "no_name"), (None, "no_name"), (7, "no_name"), ("x" * 300, "name_too_long")],
)
def test_refused(name: object, code: str) -> None:
    with pytest.raises(BadItem) as bad:
        SPELLER.signal(name)
    assert bad.value.code == code


@given(st.text(min_size=101, max_size=256))
def test_no_name_makes_a_signal_that_scoring_refuses(name: str) -> None:
    try:
        made = SPELLER.signal(name)
    except BadItem:
        return
    assert 1 <= len(made) <= SIGNAL_MAX


@given(st.text(min_size=1, max_size=256))
def test_a_custom_signal_is_its_own_name(name: str) -> None:
    try:
        made = custom_signal(name)
    except BadItem:
        return
    assert custom_signal(made) == made
