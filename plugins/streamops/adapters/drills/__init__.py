"""A drill's records sent, evidence read, pictures drawn."""
