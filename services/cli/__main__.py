"""`python -m services.cli`: the same as `lead-router`."""

from services.cli import main

main()
