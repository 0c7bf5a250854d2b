"""Debian packages: where they come from, and how they are fetched."""
