"""Scoring's tables: read ahead, write a batch in one call, forget a person, answer the API. SQL stands only here."""
