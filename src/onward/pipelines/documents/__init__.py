"""Documents → chunks and vectors, each version with the time from which on it was true."""
