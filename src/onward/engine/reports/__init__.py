"""What a run leaves for people to read: what is written down while it goes, and how it is shown."""
