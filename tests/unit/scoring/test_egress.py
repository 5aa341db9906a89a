"""Apple's relays and hidden links: is the address one of them?"""

import ipaddress
from pathlib import Path

import pytest

from services.runtime.errors import Misconfigured
from services.runtime.settings import Settings
from services.scoring.core import egress
from services.scoring.core.egress import BadNetworks, Relays
from services.scoring.core.traps import LINKS_MAX, trap_of
from services.scoring.service import evidence_of

REFERENCE = Path(__file__).parents[4] / "shared" / "data" / "reference_lists"


@pytest.fixture(scope="module")
def shipped():
    return evidence_of(Settings(_env_file=None))[0]


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("17.58.0.1", True),
        ("104.28.42.7", True),
        ("::ffff:104.28.42.7", True),
        ("2a02:26f7:c9d4:4000::1", True),
        ("2a09:bac3:ffff::", True),
        ("2a09:bac4::1", False),
        ("16.255.255.255", False),
        ("18.0.0.0", False),
        ("66.249.84.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("no address", False),
        ("fe80::1%eth0", False),
    ],
)
def test_the_shipped_networks(shipped, address, held):
    assert shipped(address) is held
    assert shipped(address) is held  # remembered


def test_the_shipped_networks_hold_apples_own_list(shipped):
    if not REFERENCE.is_dir():
        pytest.skip("the reference list of Apple's networks is not here")
    outside = []
    for file in REFERENCE.glob("apple_proxy_ipv*.txt"):
        for line in file.read_text().split():
            network = ipaddress.ip_network(line)
            outside += [line for end in (network[0], network[-1]) if not shipped(str(end))]
    assert outside == []


def test_a_list_in_apples_form_takes_its_place(tmp_path):
    file = tmp_path / "egress-ip-ranges.csv"
    file.write_text("198.51.100.0/31,FI,FI-18,Helsinki,\n198.51.100.2/31,FI,,,\n\n# end\n2001:db8::/64,SE,,,\n")
    relay, trap = evidence_of(Settings(_env_file=None, apple_egress_file=file))
    assert [relay(f"198.51.100.{n}") for n in range(5)] == [True] * 4 + [False]
    assert relay("2001:db8::9")
    assert not relay("17.58.0.1")
    assert trap is None


@pytest.mark.parametrize(
    ("text", "says"), [("1.2.3.4/8/9", "line 1"), ("17.0.0.0/8\n<html>", "line 2"), ("# none", "no network")]
)
def test_what_is_no_list_is_refused(tmp_path, text, says):
    with pytest.raises(BadNetworks, match=says):
        Relays(text)
    file = tmp_path / "list"
    file.write_text(text)
    for path in (file, tmp_path / "missing"):
        with pytest.raises(Misconfigured, match="LEAD_ROUTER_APPLE_EGRESS_FILE"):
            evidence_of(Settings(_env_file=None, apple_egress_file=path))


def test_a_list_too_long_is_refused_where_it_gets_too_long(monkeypatch):
    monkeypatch.setattr(egress, "NETWORKS_MAX", 3)
    text = "# ours\n192.0.2.1\n\n198.51.100.0/24\n2001:db8::/64\n"
    assert Relays(text + "# no more").holds("2001:db8::1")
    with pytest.raises(BadNetworks, match="line 6: more than 3 networks"):
        Relays(text + "203.0.113.0/24")


def test_hidden_links_by_parts_of_their_addresses():
    trap = trap_of("/nobody-sees\n lnk_93.7? ")
    assert trap is not None
    assert trap("https://x.example/nobody-sees/1?a=b")
    assert trap("lnk_93.7?")
    assert not trap("https://x.example/lnk_93x7?")
    assert not trap("")
    with pytest.raises(ValueError, match="4 characters"):
        trap_of("/a")
    with pytest.raises(Misconfigured, match="HONEYPOT"):
        evidence_of(Settings(_env_file=None, honeypot_links="ab"))


def test_hidden_links_are_bounded_and_named_twice_count_once():
    words = " ".join(f"lnk-{n}" for n in range(LINKS_MAX))
    trap = trap_of(f"{words} {words}")
    assert trap is not None
    assert trap(f"https://x.example/lnk-{LINKS_MAX - 1}")
    with pytest.raises(ValueError, match="201 hidden links; at most 200"):
        trap_of(f"{words} one-more")
