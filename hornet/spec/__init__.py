"""The specification as data, and the typed model that validates every value."""
