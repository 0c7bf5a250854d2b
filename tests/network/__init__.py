"""The topology and its isolation: run by users, in the checkout and from the wheel (hornet_tests.network)."""
