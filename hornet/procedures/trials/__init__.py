"""Tries the guide's procedures on a snapshot, in a home and a network of their own, and returns the facts.

Each function is one trial. hornet/checks/procedures.py judges the facts, so that a run of one image answers the guide's
requirements for procedures. Trials that do not depend on each other may run on several threads.
"""
