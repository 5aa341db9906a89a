"""Which log does this process use? Kafka when `LEAD_ROUTER_KAFKA` is set, else the database."""

from collections.abc import Sequence

from schemas.topics import FLOW, Topic
from services.eventlog.kafka import KafkaLog
from services.eventlog.outbox import RowOutbox
from services.eventlog.owner import process_owner
from services.eventlog.ports import Encode, Log, LogWriter, Outbox
from services.eventlog.postgres import PostgresLog
from services.runtime.db import Database, Listener
from services.runtime.settings import Settings


def open_log(
    settings: Settings, db: Database, listener: Listener, *, owner: str | None = None, topics: Sequence[Topic] = FLOW
) -> Log:
    """Make the log of this process; call `ensure_topics` before use and `close` at the end.

    Args:
        listener: Not started yet; it wakes the readers of the PostgreSQL log.
        owner: Name of this process; by default one that no other has.
        topics: Which topics there are; tests may use others.
    """
    me = owner or process_owner()
    if not settings.kafka:
        return PostgresLog(settings, db, listener, me, topics)

    def outbox(writer: LogWriter, stage: str, lane: str, encode: Encode | None) -> Outbox:
        return RowOutbox(db, writer, settings, me, stage, lane, encode)

    return KafkaLog(settings, me, outbox, topics)
