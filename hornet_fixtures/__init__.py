"""The pytest plugin: options, markers, fixtures, recording, failure diagnostics."""
