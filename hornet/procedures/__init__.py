"""The guide's standard operating procedures and its troubleshooting. Nothing here prints or parses arguments."""
