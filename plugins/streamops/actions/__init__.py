"""What DAGs and the command line both do: planned, shown, carried out, read back."""
