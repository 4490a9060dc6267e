"""Migrations: `env.py` runs what stands in `versions/`; a large one has its tables in a package beside it."""
