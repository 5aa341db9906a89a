"""How ingest speaks HTTP: the doors for events (plain Starlette routes) and the API of sources (FastAPI)."""
