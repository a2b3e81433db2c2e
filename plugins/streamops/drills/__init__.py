"""Drills as data: faults, ledger, times, verdict, comparison. Pure."""
