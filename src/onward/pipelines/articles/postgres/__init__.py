"""Articles as rows of PostgreSQL."""
