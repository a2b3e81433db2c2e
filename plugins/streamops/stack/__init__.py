"""The embedded stack: a real Kafka, Spark standalone cluster and Airflow, on loopback, started by one command."""
