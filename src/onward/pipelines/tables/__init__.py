"""Database tables → Parquet in windows of a day; read `pipeline.py` first."""
