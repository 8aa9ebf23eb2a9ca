"""onward: a durable, incremental batch engine."""
