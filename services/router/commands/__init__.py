"""Orders that change leads: decide and assign many in one transaction, and the answers of reps."""
