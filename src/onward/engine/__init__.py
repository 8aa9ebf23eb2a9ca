"""The loop: recover, scan, plan, process, commit, publish; and the questions asked of it: explain, verify.

Each of the five steps of a run is a file of its own. The engine knows a pipeline only through `pipeline.py`, a ledger
only through `ledger/base.py`, and workers only through the executor protocol in `process.py`.
"""
