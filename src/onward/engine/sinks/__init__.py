"""Sinks that are no room's own: a file an item, lines of one file, many small files."""
