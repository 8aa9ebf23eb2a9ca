"""The version of onward, and nothing else: read by the packaging tools without importing the package."""

__version__ = "0.1.0"
