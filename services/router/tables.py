"""The room's tables as the API queries them. Migration 0007 makes them."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

METADATA = MetaData(schema="router")
_AT = DateTime(timezone=True)
_ID = Uuid(as_uuid=True)

LEAD = Table(
    "lead",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("created_at", _AT, nullable=False),
    Column("updated_at", _AT, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("known", Boolean, nullable=False),
    Column("email", Text),
    Column("name", Text),
    Column("title", Text),
    Column("domain", Text),
    Column("account_name", Text),
    Column("segment", Text),
    Column("stage", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("track", Text),
    Column("pool", Text),
    Column("assignee", Text),
    Column("outcome", Text),
    Column("gen", Integer, nullable=False),
    Column("decision_id", _ID),
    Column("cooldown_until", _AT),
    Column("cooldown_reason", Text),
    Column("waiting_until", _AT),
    Column("waiting_reason", Text),
    Column("merged_into", _ID),
    Column("erased", Boolean, nullable=False),
    Column("memory", JSON, nullable=False),
    Column("snapshot", JSON),
)

DECISION = Table(
    "decision",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("lead_id", _ID, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at", _AT, nullable=False),
    Column("segment", Text),
    Column("stage", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("assignee", Text),
    Column("causes", ARRAY(Text), nullable=False),
    Column("occurred_at", _AT),
    Column("received_at", _AT),
    Column("scored_at", _AT),
    Column("routed_at", _AT, nullable=False),
    Column("record", JSON, nullable=False),
)

ASSIGNMENT = Table(
    "assignment",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("lead_id", _ID, nullable=False),
    Column("rep_id", Text, nullable=False),
    Column("gen", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("pool", Text),
    Column("segment", Text),
    Column("stage", Text, nullable=False),
    Column("decision_id", _ID, nullable=False),
    Column("offered_at", _AT, nullable=False),
    Column("accepted_at", _AT),
    Column("snoozed_until", _AT),
    Column("ended_at", _AT),
    Column("reason", Text),
)
