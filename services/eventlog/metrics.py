"""What the log says of itself, in Prometheus' words. Moved by `consume`, `lease`, `outbox` and `deadletter`."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.runtime.telemetry import REGISTRY

PART: Final = ("stage", "topic", "part")
STAGE: Final = ("stage", "topic")

LAG_RECORDS: Final = Gauge("leadrouter_log_lag_records", "Records not yet handled", PART, registry=REGISTRY)
LAG_SECONDS: Final = Gauge(
    "leadrouter_log_lag_seconds", "Age of the newest handled record while others wait, else 0", PART, registry=REGISTRY
)
LEASE_EPOCH: Final = Gauge(
    "leadrouter_log_lease_epoch", "Epoch of a lease held here, 0 when not", PART, registry=REGISTRY
)
BATCH_SECONDS: Final = Histogram(
    "leadrouter_log_batch_seconds",
    "Time of one batch in its transaction",
    STAGE,
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
BATCH_RECORDS: Final = Histogram(
    "leadrouter_log_batch_records",
    "Records of one batch",
    STAGE,
    registry=REGISTRY,
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 5000),
)
RECORDS: Final = Counter("leadrouter_log_records_total", "Records handled and committed", STAGE, registry=REGISTRY)
RETRIES: Final = Counter(
    "leadrouter_log_retries_total", "Batches done again, by why", ("stage", "topic", "why"), registry=REGISTRY
)
DEAD: Final = Counter(
    "leadrouter_log_dead_letters_total", "Records buried, by reason", ("stage", "reason"), registry=REGISTRY
)
OUTBOX_DEPTH: Final = Gauge(
    "leadrouter_log_outbox_rows", "Committed rows that wait to be published here", ("stage", "lane"), registry=REGISTRY
)
PUBLISHED: Final = Counter("leadrouter_log_published_total", "Messages published", ("topic",), registry=REGISTRY)
