"""Speeds as ratios, each beside its limit, measured in the same run. `make bench` prints and writes the table."""
