"""One run on many machines: shared out, taken by whoever comes, seen to its end by whoever is left."""
