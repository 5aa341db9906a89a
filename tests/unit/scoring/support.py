"""A fold without a database: batches of messages over plain dicts, as the handler does it."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from services.directory.core.accounts_csv import parse_accounts
from services.directory.core.match import DirectoryView
from services.directory.core.people import Account
from services.policy.core.compile import compile_policy
from services.scoring.core import material
from services.scoring.core.companies import Companies
from services.scoring.core.counting import Counting
from services.scoring.core.fold import Fold, Settings
from services.scoring.core.identity import Names
from services.scoring.core.link import Ties
from services.scoring.core.read import DAY_MS, Dead, read

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
NAMED = Account(domain="nordwind.example", name="Nordwind", named=True, owner="anna", networks=("198.51.100.0/24",))
VIEW = DirectoryView([NAMED, Account(domain="kivi.example", name="Kivi Consulting Oy", employees=60)])
assert parse_accounts is not None


@cache
def policy():
    return compile_policy(
        (EXAMPLES / "policy.yaml").read_text(), 1, {"calculator_used": 64, "pricing_visits": 65, "demo_request": 66}
    )


def message(signal, ids, ago=0.0, id_=None, trust="secret", **data):
    """Bytes of a tracking message at NOW - ago seconds."""
    at = (NOW - timedelta(seconds=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(
        {
            "specversion": "1.0",
            "id": id_ or str(uuid.uuid4()),
            "source": "/test",
            "type": f"leadrouter.{signal}.v1",
            "time": at,
            "data": {
                "signal": signal,
                "ids": [{"kind": k, "value": v} for k, v in ids.items()],
                "received_at": NOW.isoformat().replace("+00:00", "Z"),
                "occurred_at": at,
                "trust": trust,
                **data,
            },
        }
    ).encode()


class Memory:
    """Everything that a database would hold."""

    def __init__(self, dedupe_days=90):
        self.names = Names()
        self.profiles, self.links, self.leads, self.seen = {}, {}, {}, set()
        self.companies = Companies(VIEW)
        self.settings = Settings(dedupe_days * DAY_MS, NOW_MS - 91 * DAY_MS, NOW_MS + 14 * DAY_MS)
        self.seq = 0
        self.dead = []
        self.weights = {}

    def batch(self, *values, suppressed=None):
        """Fold one batch; returns (done, ties, emits)."""
        self.seq += 1
        events = []
        for value in values:
            event = read(value, NOW_MS, self.names, 100_000)
            (self.dead if isinstance(event, Dead) else events).append(event)
        ties = Ties(self.links, self.leads, self.seq, self.companies.of_email)
        fold = Fold(
            counting=Counting(policy()), settings=self.settings, profiles=self.profiles, ties=ties, seq=self.seq,
            seen=self.seen.__contains__, suppressed=suppressed, companies=self.companies,
        )  # fmt: skip
        fold.take(events)
        done = fold.done
        emits = material.told(done, ties, policy().step * 1000, {})
        material.settle(emits, done, ties)
        self.seen |= set(done.rows) | set(done.side)
        for row in (done.rows | done.side).values():
            self.weights[row.event.id] = row.weight
        self.weights.update({id_: one.weight for id_, one in done.reversals.items()})
        for key, link in self.links.items():  # what the database would have stored
            link.lead = ties.root(self.leads[link.lead]).id
            assert key == link.key
        return done, ties, emits

    def counters(self):
        """Profile key (hex) to {(code, day): thousandths}, zeros left out."""
        found = {}
        for key, profile in self.profiles.items():
            state = profile.state
            found[key.hex()] = {
                (state[n] & 255, state[n] >> 8): state[n + 1] for n in range(0, len(state), 2) if state[n + 1]
            }
        return found

    def groups(self):
        """Sets of profile keys (hex) that belong to one lead."""
        by_lead = {}
        for key, link in self.links.items():
            by_lead.setdefault(link.lead, set()).add(key.hex())
        return sorted(by_lead.values(), key=sorted)
