"""Tables of the room `notify`."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the room."""
    op.execute("CREATE SCHEMA IF NOT EXISTS notify")


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS notify CASCADE")
