"""Load, compare, plot and print what runs have recorded."""
