"""Matching, titles and calendars: pure functions, no I/O, no clock."""
