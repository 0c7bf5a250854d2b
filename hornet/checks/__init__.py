"""The checks: pure functions that judge facts against the spec.

Each check returns a list of problems. A problem names the thing, the value found and the value expected. An empty list
means that the check passed. Checks do not depend on VMs or pytest, so a self-test can give each one an input that it
must reject. The decorator in check.py registers a check; catalog.py finds it by name.
"""
