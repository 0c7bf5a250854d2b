"""Debian packages: their mirrors, and how they are fetched."""
