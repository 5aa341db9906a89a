"""The contracts between stages: topics, messages and their codec. Imports no I/O library."""
