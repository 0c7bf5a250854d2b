"""What every HornetOS image must be: run by users, in the checkout and from the wheel (hornet_tests.conformance)."""
