"""The room's tables as the API queries them. The history of how they came to be: migrations, 0004_directory."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData(schema="directory")
_NOW = sa.text("now()")

state = sa.Table(
    "state",
    metadata,
    sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.text("true")),
    sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("accounts", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("people", sa.BigInteger, nullable=False, server_default=sa.text("0")),
)

change = sa.Table(
    "change",
    metadata,
    sa.Column("domain", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)
sa.Index("change_version", change.c.version)

account = sa.Table(
    "account",
    metadata,
    sa.Column("domain", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("industry", sa.Text),
    sa.Column("employees", sa.Integer),
    sa.Column("country", sa.Text),
    sa.Column("named", sa.Boolean, nullable=False, server_default=sa.text("false")),
    sa.Column("owner", sa.Text),
    sa.Column("networks", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
)
sa.Index("account_newest", account.c.created_at.desc(), account.c.domain.desc())
sa.Index("account_owner", account.c.owner, postgresql_where=account.c.owner.is_not(None))

rep = sa.Table(
    "rep",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("title", sa.Text, nullable=False, server_default=""),
    sa.Column("email", sa.Text),
    sa.Column("timezone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("hours", sa.Text, nullable=False, server_default="always"),
    sa.Column("country", sa.Text),
    sa.Column("languages", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("capacity_per_day", sa.Integer),
    sa.Column("capacity_open", sa.Integer),
    sa.Column("manager", sa.Text),
    sa.Column("meeting_link", sa.Text),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.text("true")),
    sa.Column("alerts_paused_until", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
)

absence = sa.Table(
    "absence",
    metadata,
    sa.Column("id", pg.UUID, primary_key=True, server_default=sa.text("gen_random_uuid()")),
    sa.Column("rep_id", sa.Text, sa.ForeignKey("directory.rep.id", ondelete="CASCADE"), nullable=False),
    sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
    sa.UniqueConstraint("rep_id", "starts_at", "ends_at", name="absence_once"),
)

pool = sa.Table(
    "pool",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
)

member = sa.Table(
    "member",
    metadata,
    sa.Column("pool", sa.Text, sa.ForeignKey("directory.pool.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("rep_id", sa.Text, sa.ForeignKey("directory.rep.id"), primary_key=True),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
)
sa.Index("member_rep", member.c.rep_id)
