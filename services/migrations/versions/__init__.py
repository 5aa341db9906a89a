"""One linear history; each room's tables in a PostgreSQL schema of their own."""
