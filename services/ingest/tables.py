"""The tables of ingest, for the queries of its API."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Identity, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="ingest")

source = Table(
    "source",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("platform", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("old_key_hash", LargeBinary, unique=True),
    Column("secret", LargeBinary),
    Column("old_secret", LargeBinary),
    Column("publishable", Boolean, nullable=False, server_default=text("false")),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("rotated_at", DateTime(timezone=True)),
    Column("seen_at", DateTime(timezone=True)),
    Column("accepted", BigInteger, nullable=False, server_default=text("0")),
    Column("rejected", BigInteger, nullable=False, server_default=text("0")),
    Column("recent", JSONB, nullable=False, server_default=text("'[]'")),
    Column("api_token", LargeBinary),
)

waiting = Table(
    "waiting",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("source_id", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("retry_at", DateTime(timezone=True), nullable=False),
)

enricher = Table(
    "enricher",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("owner", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

used_token = Table(
    "used_token",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
)
