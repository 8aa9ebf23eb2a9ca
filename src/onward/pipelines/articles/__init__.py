"""News articles as structured JSON: read → entities → dependencies → events → assemble. Read `pipeline.py` first."""
