"""The room's tables as the API queries them. The history of how they came to be: migrations, 0008_notify."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData(schema="notify")

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("rep_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("budget_left", sa.Double),
    sa.Column("budget_at", sa.DateTime(timezone=True)),
)

notice = sa.Table(
    "notice",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("rep_id", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("open", sa.Boolean, nullable=False),
    sa.Column("collapse_key", sa.Text),
    sa.Column("fresh_until", sa.DateTime(timezone=True)),
    sa.Column("occurred_at", sa.DateTime(timezone=True)),
    sa.Column("received_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("delivered_at", sa.DateTime(timezone=True)),
    sa.Column("read_at", sa.DateTime(timezone=True)),
    sa.Column("body", pg.JSON, nullable=False),
    sa.UniqueConstraint("rep_id", "seq", name="notice_cursor"),
)

notice_lead = sa.Table(
    "notice_lead",
    metadata,
    sa.Column("lead_id", sa.Text, primary_key=True),
    sa.Column("notice_id", sa.Text, sa.ForeignKey("notify.notice.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("rep_id", sa.Text, nullable=False),
)

handled = sa.Table(
    "handled",
    metadata,
    sa.Column("message_id", pg.UUID, primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("notices", sa.Integer, nullable=False),
    sa.Column("occurred_at", sa.DateTime(timezone=True)),
    sa.Column("received_at", sa.DateTime(timezone=True)),
    sa.Column("routed_at", sa.DateTime(timezone=True)),
)
