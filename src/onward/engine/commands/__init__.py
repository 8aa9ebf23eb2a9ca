"""Commands that change what a job is about to do, or what it has done."""
