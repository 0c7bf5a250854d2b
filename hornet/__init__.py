"""HornetOS conformance and benchmark suite: the library. It imports no pytest."""
