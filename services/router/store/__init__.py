"""What the router reads and writes in PostgreSQL: plain statements, many rows at a time. Owns the schema `router`."""
