"""What is in a pipeline's state directory: batch log, lease, generations and their like. Pure.

Most of it travels with the jobs, so it imports the standard library alone (adapters/spark/code_bundle.py).
"""
