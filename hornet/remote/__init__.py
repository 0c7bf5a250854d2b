"""The same run on several hosts by SSH: the hosts file, what each host has, the run itself, and what comes back."""
