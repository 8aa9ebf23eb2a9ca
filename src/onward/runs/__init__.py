"""Who ran what, where, with which settings: the state folder, the environment, run folders, progress."""
