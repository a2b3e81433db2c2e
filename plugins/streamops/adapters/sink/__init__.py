"""The Parquet sink, read."""
