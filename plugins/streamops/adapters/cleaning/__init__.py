"""Cleanup on real file systems: its places, its lock, its quarantine."""
