"""The manifest that a team shares by git: a small ledger, standard library only; read `state_manifest.py` first."""
