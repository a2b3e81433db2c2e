"""Alembic's folder: `env.py`, and one file a version in `versions/`. Versions only ever go forward."""
