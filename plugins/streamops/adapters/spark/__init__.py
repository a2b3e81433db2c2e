"""Spark: its installation, its standalone master, and what is submitted to it."""
