"""Bytes on disk: the only package that renames, links and fsyncs. It knows nothing of jobs and items."""
