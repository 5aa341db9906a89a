"""Tables of the room `policy`."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the room."""
    op.execute("CREATE SCHEMA IF NOT EXISTS policy")


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS policy CASCADE")
