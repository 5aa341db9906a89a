"""Stage 4: tells people. Reads `lead.routed`; owns the PostgreSQL schema `notify`; writes no topic."""
