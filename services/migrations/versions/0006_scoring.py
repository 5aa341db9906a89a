"""Tables of the room `scoring`."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the room."""
    op.execute("CREATE SCHEMA IF NOT EXISTS scoring")


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS scoring CASCADE")
