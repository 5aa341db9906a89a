"""What waits of one source is found in its order, without what waits of others; and so is what is put off."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.execute("CREATE INDEX waiting_source ON ingest.waiting (source_id, seq)")
    op.execute("CREATE INDEX waiting_retry ON ingest.waiting (retry_at)")


def downgrade() -> None:
    """Take the indexes away."""
    op.execute("DROP INDEX ingest.waiting_retry")
    op.execute("DROP INDEX ingest.waiting_source")
