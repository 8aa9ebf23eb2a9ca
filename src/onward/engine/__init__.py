"""The loop: recover, scan, plan, process, commit, publish; in folders what goes in, comes out, is asked and is done.

Each of the five steps of a run is a file of its own. The engine knows a pipeline only through `pipeline.py`, its ends
through `source.py` and `sink.py`, a ledger through `ledger/base.py`, and workers through `executor.py`.
"""
