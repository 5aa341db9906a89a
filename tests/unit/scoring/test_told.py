"""What is worth telling, and what is said."""

from schemas.codec import scored_decoder
from services.scoring.core.emit import CAUSES_MAX, CauseIn, EmitIn, Member, chosen, framed, pack, unframed, unpack
from services.scoring.core.snapshot import Telling
from tests.support.offline import key_of
from tests.unit.scoring.support import NOW_MS, VIEW, Memory, message, policy

VP = {"email": "vp@nordwind.example"}


def kinds(emits):
    return [(emit.kind, len(emit.causes)) for emit in emits]


def test_a_new_person_a_step_and_nothing_in_between():
    memory = Memory()
    assert kinds(memory.batch(message("page.viewed", {"email": "a@kivi.example"}))[2]) == [("changed", 1)]
    for n in range(4):
        assert memory.batch(message("page.viewed", {"email": "a@kivi.example"}, ago=n))[2] == []
    assert kinds(memory.batch(message("page.viewed", {"email": "a@kivi.example"}))[2]) == [("changed", 1)]


def test_a_visitor_is_told_of_only_with_a_named_account():
    memory = Memory()
    assert memory.batch(message("demo.requested", {"anonymous": "c"}))[2] == []
    assert memory.batch(message("page.viewed", {"anonymous": "d"}, ip="192.0.2.1"))[2] == []
    (emit,) = memory.batch(message("page.viewed", {"anonymous": "e"}, ip="198.51.100.9"))[2]
    assert (emit.known, emit.account, emit.only.value) == (False, "nordwind.example", "e")
    assert kinds(memory.batch(message("page.viewed", {"anonymous": "e"}))[2]) == [("changed", 1)]


def test_any_human_page_of_a_named_account_and_only_pricing_of_others():
    memory = Memory()
    memory.batch(message("person.identified", VP), message("person.identified", {"email": "a@kivi.example"}))
    assert kinds(memory.batch(message("page.viewed", VP, path="/about"))[2]) == [("changed", 1)]
    assert memory.batch(message("page.viewed", VP, path="/about", actor="machine"))[2] == []
    assert memory.batch(message("email.opened", VP))[2] == []
    assert memory.batch(message("page.viewed", VP, ago=2 * 86400))[2] == []
    assert memory.batch(message("page.viewed", {"email": "a@kivi.example"}, path="/about"))[2] == []
    assert kinds(memory.batch(message("page.viewed", {"email": "a@kivi.example"}, path="/pricing"))[2]) == [
        ("changed", 1)
    ]


def test_facts_that_change_are_told_and_facts_repeated_are_not():
    memory = Memory()
    memory.batch(message("person.identified", {"email": "a@kivi.example"}, ago=9, traits={"title": "CFO"}))
    assert (
        memory.batch(message("person.identified", {"email": "a@kivi.example"}, ago=5, traits={"title": "CFO"}))[2] == []
    )
    assert len(memory.batch(message("person.identified", {"email": "a@kivi.example"}, traits={"title": "CEO"}))[2]) == 1


def test_deals_and_farewells_are_always_told():
    memory = Memory()
    memory.batch(message("person.identified", VP))
    for signal in ("deal.won", "deal.lost", "email.unsubscribed"):
        assert len(memory.batch(message(signal, VP))[2]) == 1, signal


def test_freemail_with_the_traits_of_a_named_account_joins_it():
    memory = Memory()
    memory.batch(message("person.identified", {"email": "eve@gmail.com"}))
    assert memory.leads[bytes.fromhex(key_of("email", "eve@gmail.com"))].account is None
    memory.batch(message("person.identified", {"email": "eve@gmail.com"}, account={"domain": "nordwind.example"}))
    assert memory.leads[bytes.fromhex(key_of("email", "eve@gmail.com"))].account == "nordwind.example"


def test_at_most_one_message_a_lead_and_batch_and_a_loser_says_where_it_went():
    memory = Memory()
    memory.batch(message("person.identified", VP, ago=9), message("person.identified", {"user": "u"}, ago=5))
    _, _, emits = memory.batch(
        *[message("page.viewed", {"user": "u"}, path="/pricing") for _ in range(70)], message("x", {**VP, "user": "u"})
    )
    assert [emit.kind for emit in sorted(emits, key=lambda e: e.kind)] == ["changed", "merged"]
    changed, merged = sorted(emits, key=lambda e: e.kind)
    assert merged.merged_into == changed.lead
    assert changed.merged_from == [merged.lead]
    assert len(changed.causes) == CAUSES_MAX
    assert changed.only is None


def test_suppressed_people_leave_no_trace():
    memory = Memory()
    done, _, emits = memory.batch(message("page.viewed", VP), suppressed=lambda ident: ident.value == VP["email"])
    assert (done.suppressed, emits, memory.profiles) == (1, [], {})
    done, _, _ = memory.batch(message("person.deleted", VP))
    assert len(done.deletions) == 1


def test_floods_and_old_events_do_not_count():
    memory = Memory()
    done, _, _ = memory.batch(
        *[message("form.submitted", VP) for _ in range(1003)], message("form.submitted", VP, ago=91 * 86400 + 9)
    )
    (counters,) = memory.counters().values()
    assert max(counters.values()) == 1_000_000
    assert (done.machines, done.too_old, len(done.rows), len(done.side)) == (3, 1, 1003, 1)


def test_far_times_are_kept_aside():
    done, _, _ = Memory().batch(
        message("form.submitted", VP, ago=-40 * 86400), message("form.submitted", VP, ago=300 * 86400)
    )
    assert (len(done.side), len(done.rows)) == (2, 0)


def test_the_message_of_a_payload():
    memory = Memory()
    memory.batch(
        message(
            "person.identified",
            {**VP, "user": "u", "anonymous": "c"},
            traits={"name": "Veera", "title": "VP Operations"},
        )
    )
    _, ties, emits = memory.batch(
        message("page.viewed", {"user": "u"}, path="/pricing", url="https://a.example/pricing")
    )
    rows = []
    for link in memory.links.values():
        profile = memory.profiles.get(link.key)
        rows.append(
            framed(
                link.lead, link.kind.to_bytes(2), bytes([link.verified]), link.since.to_bytes(8), link.value.encode(),
                profile.state.tobytes() if profile else b"", (profile.packed_traits() or b"") if profile else b"",
            )
        )  # fmt: skip
    lead = bytes.fromhex(key_of("email", VP["email"]))
    payload = framed(pack(emits), lead + (7).to_bytes(8), b"".join(rows))
    (made,) = Telling(policy(), VIEW).messages(payload)
    event = scored_decoder.decode(made.value)
    assert (made.topic, made.key, event.id) == ("lead.scored", lead.hex().encode(), f"{lead.hex()}.7")
    data = event.data
    assert [m.value for m in data.members] == ["vp@nordwind.example", "u", "c"]
    assert (data.person.name, data.person.role, data.account.named, data.fit is not None) == (
        "Veera",
        "decision_maker",
        True,
        True,
    )
    assert [p.signal for p in data.curve] == ["page.viewed", "pricing_visits"]
    assert data.windows["pricing_visits"] == [(NOW_MS // 86_400_000, 1000)]
    assert ties.leads[lead].size == 3


def test_a_lead_of_one_identifier_carries_it_and_a_network_names_the_account():
    memory = Memory()
    (emit,) = memory.batch(message("page.viewed", {"anonymous": "c"}, ip="198.51.100.9"))[2]
    payload = framed(
        pack([emit, EmitIn("merged", b"m" * 16, NOW_MS, True, None, None, [], merged_into=emit.lead)]),
        emit.lead + (1).to_bytes(8) + b"m" * 16 + (2).to_bytes(8),
        b"",
    )
    one, two = (scored_decoder.decode(m.value).data for m in Telling(policy(), VIEW).messages(payload))
    assert (one.account.domain, one.account.matched_by, one.causes[0].visitor) == ("nordwind.example", "network", "c")
    assert (two.kind, two.merged_into, two.members) == ("merged", one.lead_id, [])
    gone = EmitIn("changed", emit.lead, NOW_MS, False, None, "nowhere.example", [], only=Member(3, "c", False, 0))
    (none,) = Telling(policy(), VIEW).messages(framed(pack([gone]), emit.lead + (1).to_bytes(8), b""))
    assert scored_decoder.decode(none.value).data.account is None


def test_causes_that_may_alert_are_kept_first_and_shown_by_time():
    def one(n):
        return CauseIn(bytes([n % 256]) * 16, "s", n, n, 1000, 0, None, None, None, None, False, None)

    kept = chosen([(n < 3, one(n)) for n in range(100)])
    assert [cause.at_ms for cause in kept] == [0, 1, 2, *range(53, 100)]


def test_frames():
    assert unframed(framed(b"", b"a", b"bc" * 300)) == [b"", b"a", b"bc" * 300]
    assert unpack(framed(pack([]), b"", b"")).members == {}
