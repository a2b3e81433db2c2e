"""Operations for Spark streaming jobs on Kafka, run by Apache Airflow."""

__version__ = "0.1.0"
