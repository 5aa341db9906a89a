"""Plumbing that knows no lead: settings, errors, clock, database, HTTP, health, security."""
