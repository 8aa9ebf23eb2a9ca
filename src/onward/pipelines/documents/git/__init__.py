"""A git repository as a source: every version of every document, since its commit."""
