"""The evidence that a run survives anything: faults injected into real runs from outside, and what became of them.

`python -m chaos` prints the table of `docs/reliability.md`. It is no part of the package that is installed.
"""
