"""HornetOS conformance and benchmark suite: the library. It imports no pytest."""

__version__ = "0.2.0"
