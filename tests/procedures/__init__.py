"""The guide's procedures on the snapshot under test: run by users, in the checkout and from the wheel."""
