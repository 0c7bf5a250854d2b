"""The network lab of tests/network: fake guests, a test Internet, attacks on the isolation. Part of the wheel."""
