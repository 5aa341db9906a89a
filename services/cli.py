"""The one command (built at the end)."""


def main() -> None:
    """Run `lead-router`."""
