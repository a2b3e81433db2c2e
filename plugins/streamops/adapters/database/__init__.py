"""Our own database, behind the Airflow connection `streamops_db`: the history that outlives Kafka's and Spark's."""
