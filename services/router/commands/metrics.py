"""What the router says of itself in numbers."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.runtime.telemetry import REGISTRY

DECISIONS: Final = Counter(
    "leadrouter_decisions_total", "Decisions that changed something", ["route", "segment"], registry=REGISTRY
)
ASSIGNMENTS: Final = Counter(
    "leadrouter_assignments_total",
    "Handovers by how the rep was found; via none: nobody was there",
    ["via"],
    registry=REGISTRY,
)
ALERTS: Final = Counter("leadrouter_alerts_total", "Alerts sent on to notify", ["kind"], registry=REGISTRY)
OUTCOMES: Final = Counter("leadrouter_outcomes_total", "Answers of reps", ["kind", "reason"], registry=REGISTRY)
RECALLS: Final = Counter("leadrouter_recalls_total", "Offers withdrawn, by reason", ["reason"], registry=REGISTRY)
TIMERS: Final = Counter(
    "leadrouter_router_timers_total", "Timers that came due and meant something", ["kind"], registry=REGISTRY
)
ORPHANS: Final = Gauge(
    "leadrouter_orphans", "Leads without owner, track or dated reason at the last sweep; must be 0", registry=REGISTRY
)
DECIDE_SECONDS: Final = Histogram(
    "leadrouter_router_batch_seconds",
    "Seconds for one transaction of the router",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
EVENT_TO_ROUTED: Final = Histogram(
    "leadrouter_received_to_routed_seconds",
    "Seconds from receipt of the newest event to the decision",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
    registry=REGISTRY,
)
