"""Tables of the room, for queries: every version, the one in force, numbers of signals. Only this room reads them."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

METADATA = MetaData(schema="policy")

VERSION = Table(
    "version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=text("''")),
    Column("saved_by", Text, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("copy_of", Integer, ForeignKey("policy.version.version")),
    Column("activated_by", Text),
    Column("activated_at", DateTime(timezone=True)),
    CheckConstraint("version > 0", name="version_version_check"),
)

ACTIVE = Table(
    "active",
    METADATA,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("version", Integer, ForeignKey("policy.version.version"), nullable=False),
    CheckConstraint("one", name="active_one_check"),
)

SIGNAL_CODE = Table(
    "signal_code",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("code", SmallInteger, nullable=False, unique=True),
    CheckConstraint("code BETWEEN 64 AND 254", name="signal_code_code_check"),
)
