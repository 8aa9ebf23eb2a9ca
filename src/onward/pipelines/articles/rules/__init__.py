"""Events by rules over the dependencies: what happened, and who, what, whom, where, when."""
