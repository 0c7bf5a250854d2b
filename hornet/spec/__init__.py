"""The specification as data, and the typed model that every value is read through."""
