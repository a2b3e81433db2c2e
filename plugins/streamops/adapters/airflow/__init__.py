"""Airflow, over its REST API or from within a task."""
