"""Pure rules of `ingest`: no I/O, no clock, no chance."""
