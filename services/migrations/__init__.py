"""One history of the database, a PostgreSQL schema for each room."""
