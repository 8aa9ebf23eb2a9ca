"""Where a run's tasks are run: executors behind one protocol, one a file, found by name."""
