"""Stage 1: takes events from everywhere and writes `tracking.events`."""
