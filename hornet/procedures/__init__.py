"""The guide's standard operating procedures and troubleshooting. This package neither prints nor parses arguments."""
