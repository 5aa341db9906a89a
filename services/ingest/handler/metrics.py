"""What ingest says of itself, in Prometheus' words."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.runtime.telemetry import REGISTRY

FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

ACCEPTED: Final = Counter(
    "leadrouter_ingest_events_total",
    "Events accepted, by source and signal; signals that are not ours are `custom`",
    ("source", "signal"),
    registry=REGISTRY,
)
REJECTED: Final = Counter(
    "leadrouter_ingest_rejected_total", "Items and bodies refused, by reason", ("reason",), registry=REGISTRY
)
IGNORED: Final = Counter(
    "leadrouter_ingest_ignored_total",
    "Items of types that mean nothing to us, by platform and the platform's own type; rare ones are `other`",
    ("platform", "type"),
    registry=REGISTRY,
)
DEAD_SKIPPED: Final = Counter(
    "leadrouter_ingest_dead_letters_skipped_total",
    "Bad items of browsers beyond the bound on dead letters: counted, not kept",
    registry=REGISTRY,
)
COMMIT_SECONDS: Final = Histogram(
    "leadrouter_ingest_commit_seconds", "From handing over to durable", registry=REGISTRY, buckets=FAST
)
COMMIT_EVENTS: Final = Histogram(
    "leadrouter_ingest_commit_events",
    "Events of one commit",
    registry=REGISTRY,
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 5000),
)
SPOOLED: Final = Counter(
    "leadrouter_ingest_spooled_total", "Events kept in PostgreSQL, the log being away", registry=REGISTRY
)
SPOOL_DEPTH: Final = Gauge("leadrouter_ingest_spool_rows", "Batches that wait in the spool", registry=REGISTRY)
QUEUE: Final = Gauge("leadrouter_ingest_queue_events", "Events that wait for their commit", registry=REGISTRY)
REQUEST_SECONDS: Final = Histogram(
    "leadrouter_ingest_request_seconds", "Time of one request, by door", ("door",), registry=REGISTRY, buckets=FAST
)
LOOK_UPS: Final = Counter(
    "leadrouter_ingest_look_ups_total",
    "Contacts asked for at HubSpot, by status; `away`, `refused`; `too_late`: events that went without",
    ("outcome",),
    registry=REGISTRY,
)
