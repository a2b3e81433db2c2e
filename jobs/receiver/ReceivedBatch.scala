package org.apache.spark.streaming.streamops

import org.apache.spark.sql.{DataFrame, SparkSession}
import org.apache.spark.sql.streamops.Frames
import org.apache.spark.sql.types._

/** Chunks that were received, as the job in Python sees them. Offsets are JSON as Spark's Kafka source writes them. */
final class ReceivedBatch private[streamops] (rdd: SpannedRDD, val receivers: Int) {
  private val infos = rdd.infos
  private var planned: BatchPlan = _

  def chunks: Int = infos.length

  def records: Long = infos.map(_.records.toLong).sum

  /** Plan the batch: `{"ends": {"lines": {"0": 217}}, "gaps": [["lines", 0, 200, 210]]}`.
    *
    * @param processed where the pipeline stands
    * @param limits    where the batch is to end at the latest; empty for as far as the chunks go
    */
  def plan(processed: String, limits: String): String = {
    planned = BatchPlan.of(infos, OffsetsJson.read(processed), OffsetsJson.read(limits))
    OffsetsJson.write(planned.ends, planned.gaps)
  }

  /** The planned records in Spark's Kafka schema, in at most `partitions` partitions. */
  def frame(session: SparkSession, partitions: Int): DataFrame = {
    val (first, until) = (planned.first, planned.until)
    // A chunk without a record to take is neither read nor shipped.
    val taken = infos.indices.filter(index => first(index).zip(until(index)).exists { case (from, to) => from < to })
    val bounds = rdd.sparkContext.broadcast(taken.map(index => (first(index), until(index))).toArray)
    val rows = new PartitionSubset(rdd, taken.toArray).mapPartitionsWithIndex { (index, chunks) =>
      val (from, to) = bounds.value(index)
      chunks.flatMap(_.rows(from, to))
    }
    Frames.of(session, if (rows.getNumPartitions > partitions) rows.coalesce(partitions) else rows, ReceivedBatch.Schema)
  }
}

object ReceivedBatch {

  /** That of Spark's Kafka source with `includeHeaders` (KafkaRecordToRowConverter.kafkaSchema). */
  val Schema: StructType = StructType(
    Seq(
      StructField("key", BinaryType),
      StructField("value", BinaryType),
      StructField("topic", StringType),
      StructField("partition", IntegerType),
      StructField("offset", LongType),
      StructField("timestamp", TimestampType),
      StructField("timestampType", IntegerType),
      StructField(
        "headers",
        ArrayType(StructType(Seq(StructField("key", StringType), StructField("value", BinaryType))))
      )
    )
  )
}
