"""Tables of the room `ingest`."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the room."""
    op.execute("CREATE SCHEMA IF NOT EXISTS ingest")


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS ingest CASCADE")
