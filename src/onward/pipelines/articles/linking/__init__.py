"""Which events of different articles are the same: the job that says so, and what it goes by."""
