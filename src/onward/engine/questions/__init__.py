"""Questions about what was done and what is there; only `verify --repair` changes anything."""
