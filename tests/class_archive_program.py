"""What the classes are loaded by that go into the archive: a streaming query with one batch, as a direct job's."""

import tempfile

from pyspark.sql import DataFrame, SparkSession, functions

spark = SparkSession.builder.getOrCreate()
with tempfile.TemporaryDirectory() as folder:

    def save(batch: DataFrame, _number: int) -> None:
        counted = batch.groupBy(functions.upper("key").alias("key")).count()
        counted.write.mode("overwrite").parquet(f"{folder}/output")

    (spark.readStream.format("rate").load().selectExpr("CAST(value AS STRING) AS key").writeStream
     .foreachBatch(save).option("checkpointLocation", f"{folder}/checkpoint").trigger(availableNow=True).start()
     .awaitTermination())
    spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:1").option("subscribe", "none").load()
spark.stop()
