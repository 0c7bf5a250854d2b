"""What a run found, as data: records, test results, verdicts and comparisons."""
