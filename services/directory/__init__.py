"""The directory: accounts, owners, reps, pools, absences. Owns the PostgreSQL schema `directory`; read through `DirectoryCache`."""
