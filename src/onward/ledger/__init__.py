"""Memory: what was done, from what, with what. The port is `base.py`; everything above sees only the port."""
