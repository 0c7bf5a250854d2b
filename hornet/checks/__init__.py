"""The checks: pure functions that judge facts against the spec.

Each returns the problems found, in words that name the thing, what was found and what was expected; no problem
means that the rule holds. They know nothing of VMs or pytest, so that a self-test can feed each an input that it
must reject. Each is registered by a decorator (check.py) and found by name (catalog.py).
"""
