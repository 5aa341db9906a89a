"""What scoring counts about itself."""

from collections import Counter as Tally
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from schemas.signals import OTHER_SIGNAL, SIGNALS
from services.runtime.telemetry import REGISTRY
from services.scoring.core.emit import EmitIn
from services.scoring.core.fold import Folded
from services.scoring.core.link import Ties

_NAMES: Final = {code: signal for signal, code in SIGNALS.items()} | {OTHER_SIGNAL: "other"}
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

EVENTS = Counter("leadrouter_scored_events_total", "New events, by signal", ["signal"], registry=REGISTRY)
PASSED = Counter(
    "leadrouter_scoring_passed_total",
    "Events that changed nothing: duplicate, too_old, suppressed, machine",
    ["why"],
    registry=REGISTRY,
)
MESSAGES = Counter("leadrouter_lead_scored_total", "Messages to the router, by kind", ["kind"], registry=REGISTRY)
MERGES = Counter("leadrouter_lead_merges_total", "Leads that were merged into another", registry=REGISTRY)
REFUSED = Counter(
    "leadrouter_links_refused_total", "Identifiers that were not joined, by reason", ["reason"], registry=REGISTRY
)
REVERSALS = Counter("leadrouter_reversals_total", "Events that were judged anew later", registry=REGISTRY)
ERASED = Counter("leadrouter_people_erased_total", "Requests to be forgotten that were done", registry=REGISTRY)
DEAD = Counter("leadrouter_scoring_dead_total", "Records that can never be scored", registry=REGISTRY)
CACHED = Gauge("leadrouter_scoring_cached_profiles", "Profiles in memory", registry=REGISTRY)
FOLD = Histogram("leadrouter_scoring_fold_seconds", "Folding a batch", buckets=_SECONDS, registry=REGISTRY)
COMMIT = Histogram("leadrouter_scoring_commit_seconds", "Writing a batch", buckets=_SECONDS, registry=REGISTRY)


class Meters:
    """Moves the metrics of a batch after its commit."""

    fold_seconds = FOLD
    commit_seconds = COMMIT
    erased = ERASED

    def batch(self, done: Folded, ties: Ties, emits: list[EmitIn], dead: int, cached: int) -> None:
        """One committed batch."""
        for code, number in Tally([row.signal for row in done.rows.values()]).items():
            EVENTS.labels(_NAMES.get(code, "custom")).inc(number)
        for why, number in (
            ("duplicate", done.duplicates),
            ("too_old", done.too_old),
            ("suppressed", done.suppressed),
            ("machine", done.machines),
        ):
            if number:
                PASSED.labels(why).inc(number)
        for kind, number in Tally([emit.kind for emit in emits]).items():
            MESSAGES.labels(kind).inc(number)
        for reason, number in ties.changes.refused.items():
            REFUSED.labels(reason).inc(number)
        MERGES.inc(len(ties.changes.merged))
        REVERSALS.inc(len(done.reversals))
        DEAD.inc(dead)
        CACHED.set(cached)
