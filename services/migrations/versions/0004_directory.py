"""Tables of the room `directory`."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the room."""
    op.execute("CREATE SCHEMA IF NOT EXISTS directory")


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS directory CASCADE")
