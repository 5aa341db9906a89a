"""The tables of ingest, for the queries of its API."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, LargeBinary, MetaData, Table, Text, text

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
)
