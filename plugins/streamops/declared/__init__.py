"""What a team declares: pipelines.yaml read, checked and explained. Pure."""
