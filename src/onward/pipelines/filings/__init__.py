"""SEC filings as structured JSON: sanitize → parse → extract → clean → segment. Read `pipeline.py` first."""
