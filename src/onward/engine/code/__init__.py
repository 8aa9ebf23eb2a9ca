"""How the code of a step is read: its spelling, its modules, what its names mean, what it reaches, what it holds.

`engine/code/version.py` is the face of it. Nothing here runs a step, imports a module or knows of pipelines.
"""
