"""Cleanup as data: what goes, by which proof, and why the rest stays. Pure."""
