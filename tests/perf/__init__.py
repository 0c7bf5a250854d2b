"""Measurements of the target metrics: run by users, in the checkout and from the wheel (hornet_tests.perf)."""
