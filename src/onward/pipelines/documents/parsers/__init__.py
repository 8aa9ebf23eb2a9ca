"""Parsers, one a kind of document; each takes a text and returns its blocks."""
