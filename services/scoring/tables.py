"""The tables of scoring that the API reads, for SQLAlchemy Core. Migration 0006 makes them; the hot path has its own SQL."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

METADATA: Final = MetaData(schema="scoring")

PROFILE: Final = Table(
    "profile",
    METADATA,
    Column("key", UUID, primary_key=True),
    Column("kind", SmallInteger),
    Column("value", String),
    Column("seen_day", Integer),
    Column("state", LargeBinary),
    Column("traits", LargeBinary),
)
LINK: Final = Table(
    "link",
    METADATA,
    Column("key", UUID, primary_key=True),
    Column("lead_id", UUID),
    Column("kind", SmallInteger),
    Column("value", String),
    Column("how", SmallInteger),
    Column("verified", Boolean),
    Column("since", BigInteger),
    Column("turns", ARRAY(BigInteger)),
)
LEAD: Final = Table(
    "lead",
    METADATA,
    Column("id", UUID, primary_key=True),
    Column("version", BigInteger),
    Column("since", BigInteger),
    Column("known", Boolean),
    Column("account_domain", String),
    Column("network", String),
    Column("merged_into", UUID),
)
EVENT: Final = Table(
    "event",
    METADATA,
    Column("id", UUID, primary_key=True),
    Column("key", UUID),
    Column("segment", BigInteger),
    Column("idx", SmallInteger),
    Column("signal", SmallInteger),
    Column("weight", SmallInteger),
    Column("verdict", SmallInteger),
)
EVENT_SIDE: Final = Table(
    "event_side",
    METADATA,
    Column("id", UUID, primary_key=True),
    Column("key", UUID),
    Column("segment", BigInteger),
    Column("idx", SmallInteger),
    Column("signal", SmallInteger),
    Column("weight", SmallInteger),
    Column("verdict", SmallInteger),
)
SEGMENT: Final = Table(
    "segment",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("received_day", Integer),
    Column("n", Integer),
    Column("body", LargeBinary),
)
ERASURE: Final = Table(
    "erasure",
    METADATA,
    Column("id", String, primary_key=True),
    Column("asked_at", DateTime(timezone=True)),
    Column("done_at", DateTime(timezone=True)),
    Column("everywhere_at", DateTime(timezone=True)),
    Column("leads", ARRAY(UUID)),
    Column("versions", ARRAY(BigInteger)),
    Column("events", Integer),
    Column("profiles", Integer),
)
OUTCOME: Final = Table(
    "outcome",
    METADATA,
    Column("id", String, primary_key=True),
    Column("lead_id", UUID),
    Column("kind", String),
    Column("reason", String),
    Column("rep", String),
    Column("at", DateTime(timezone=True)),
)
