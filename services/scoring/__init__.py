"""Stage 2: folds events into people and writes `lead.scored`."""
