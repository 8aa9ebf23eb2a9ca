"""Sources that are no room's own: files, lines of JSON, the outputs of another job."""
