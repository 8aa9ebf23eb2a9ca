"""Where windows go: a Parquet file each, or a commit of a Delta table."""
