"""Browsers pass from one person to another; limits hold; nobody is joined on a browser's word."""

import pytest

from services.scoring.core import link as linking
from tests.support.offline import key_of
from tests.unit.scoring.support import Memory, message

A, B, C = {"email": "a@kivi.example"}, {"email": "b@nordwind.example"}, {"anonymous": "c"}


def lead(memory, kind, value):
    found = memory.links.get(bytes.fromhex(key_of(kind, value)))
    return found.lead.hex() if found else None


def test_a_browser_of_nobody_is_taken_and_of_a_user_without_address_joined():
    memory = Memory()
    memory.batch(message("x", {"user": "u", **C}, ago=9))
    memory.batch(message("x", {**A, **C}, ago=5))
    assert lead(memory, "email", A["email"]) == lead(memory, "user", "u") == lead(memory, "anonymous", "c")


def test_a_browsers_word_joins_no_two_leads_but_opens_a_new_generation():
    memory = Memory()
    memory.batch(message("x", {"user": "u", **C}, ago=9))
    memory.batch(message("x", {**A, **C}, ago=5, trust="publishable"))
    assert lead(memory, "email", A["email"]) != lead(memory, "user", "u")
    memory.batch(message("page.viewed", C, ago=7), message("page.viewed", C, ago=4))
    assert len([p for p in memory.profiles.values() if p.value == "c"]) == 2


def test_an_old_mention_turns_nothing_and_so_many_turns_are_a_shared_machine(monkeypatch):
    monkeypatch.setattr(linking, "TURNS_MAX", 2)
    memory = Memory()
    memory.batch(message("x", {**A, **C}, ago=50))
    memory.batch(message("x", {**B, **C}, ago=60))
    base = memory.links[bytes.fromhex(key_of("anonymous", "c"))]
    assert base.turns == []
    refused = 0
    for n, who in enumerate([B, A, B, A]):
        _, ties, _ = memory.batch(message("x", {**who, **C}, ago=40 - n))
        refused += ties.changes.refused["too_many_turns"]
    assert len(base.turns) == 2
    assert refused == 1
    memory.batch(message("x", {**A, **C}, ago=39.5))  # between two turns: history
    assert len(base.turns) == 2


def test_an_unverified_claim_gives_way_to_a_sources_word():
    memory = Memory()
    memory.batch(message("x", A, ago=9), message("x", {**A, "user": "u"}, ago=8, trust="publishable"))
    assert lead(memory, "user", "u") == lead(memory, "email", A["email"])
    memory.batch(message("x", B, ago=7), message("x", {**B, "user": "u"}, ago=6))
    assert lead(memory, "user", "u") == lead(memory, "email", B["email"]) != lead(memory, "email", A["email"])
    assert memory.links[bytes.fromhex(key_of("user", "u"))].verified is True


def test_a_claim_is_vouched_for_later():
    memory = Memory()
    memory.batch(message("x", {**A, **C}, trust="publishable"), message("x", {"user": "v"}, trust="publishable"))
    memory.batch(message("x", {**A, **C}), message("x", {"user": "v"}))
    assert all(link.verified for link in memory.links.values())


def test_limits_of_a_lead():
    memory = Memory()
    many = [message("x", {**A, "anonymous": f"c{n}"}, ago=100 - n) for n in range(linking.SIZE_MAX + 3)]
    _, ties, _ = memory.batch(*many)
    assert ties.changes.refused["too_many_identifiers"] == 4
    other = [message("x", {"user": "u", "anonymous": f"d{n}"}, ago=100 - n) for n in range(3)]
    _, ties, _ = memory.batch(*other, message("x", {**A, "user": "u"}))
    assert ties.changes.refused["too_many_identifiers"] == 1
    assert lead(memory, "user", "u") != lead(memory, "email", A["email"])
    memory.batch(message("x", {"crm": "k", "user": "w"}, trust="publishable", ago=50))
    _, ties, _ = memory.batch(message("x", {**A, "user": "w"}))
    assert ties.changes.refused["too_many_identifiers"] == 1


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_chain_of_merges_in_one_or_several_batches_ends_in_one_lead(cut):
    memory = Memory()
    story = [message("x", {"user": f"u{n}"}, ago=100 - n) for n in range(4)]
    story += [message("x", {"user": f"u{n}", "crm": f"k{n}"}, ago=50 - n) for n in range(4)]
    story += [message("x", {"user": f"u{n}", "crm": f"k{n + 1}"}, ago=30 - n) for n in range(3)]
    for start in range(0, len(story), cut):
        memory.batch(*story[start : start + cut])
    assert {lead(memory, "user", f"u{n}") for n in range(4)} == {key_of("user", "u0")}


def test_a_role_mailbox_joins_nobody():
    memory = Memory()
    memory.batch(message("x", {"email": "info@kivi.example", "user": "u", **C}))
    assert lead(memory, "user", "u") is None
    assert lead(memory, "email", "info@kivi.example") is not None
    assert memory.leads[bytes.fromhex(key_of("email", "info@kivi.example"))].known is False
