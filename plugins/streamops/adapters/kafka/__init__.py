"""Kafka's brokers, topics, records and consumer groups."""
