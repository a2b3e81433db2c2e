package org.apache.spark.sql.kafka010.streamops

import java.nio.ByteBuffer
import java.nio.charset.StandardCharsets.UTF_8
import java.util.{HashMap => JHashMap}

import org.apache.kafka.clients.consumer.{ConsumerRecord, OffsetOutOfRangeException}
import org.apache.kafka.common.TopicPartition
import org.apache.spark.{Partition, SparkContext, SparkThrowable, TaskContext}
import org.apache.spark.rdd.RDD
import org.apache.spark.scheduler.ExecutorCacheTaskLocation
import org.apache.spark.sql.kafka010.{KafkaOffsetRange, KafkaSourceRDD}

/** The records of one partition from `fromOffset` to `untilOffset`, which is not included. */
@SerialVersionUID(1L)
final case class OffsetRange(topic: String, partition: Int, fromOffset: Long, untilOffset: Long) {
  def at: TopicPartition = new TopicPartition(topic, partition)
}

/** The records of some ranges, a partition of the RDD for each, in the form in which Python reads them.
  *
  * Reading is the connector's: its consumers are kept for the next batch, and offsets that hold no record (compaction,
  * transaction markers) are passed over. This file is in a package below the connector's, for which its RDD is visible.
  *
  * @param metadata whether an element is a whole record (`DirectKafkaRDD.packed`), or its key and value
  */
final class DirectKafkaRDD(
    context: SparkContext,
    properties: Map[String, String],
    val ranges: Array[OffsetRange],
    metadata: Boolean
) extends RDD[Any](DirectKafkaRDD.source(context, properties, ranges)) {

  override protected def getPartitions: Array[Partition] = firstParent[Any].partitions

  override def compute(split: Partition, task: TaskContext): Iterator[Any] = {
    val range = ranges(split.index)
    val records = firstParent[ConsumerRecord[Array[Byte], Array[Byte]]].iterator(split, task)
    new Iterator[Any] {
      override def hasNext: Boolean =
        try records.hasNext
        catch { case error: Exception if DirectKafkaRDD.lost(error) => throw new RecordsLost(range, error) }

      override def next(): Any = {
        val record = records.next()
        if (metadata) DirectKafkaRDD.packed(record) else (record.key, record.value)
      }
    }
  }
}

/** Ends the program: going on would leave records out without a word. */
final class RecordsLost(range: OffsetRange, cause: Throwable)
    extends RuntimeException(
      s"${range.at}: records from offset ${range.fromOffset} to ${range.untilOffset} are not in Kafka any more: " +
        "retention or a deletion took them before they were processed. To go on without them, begin with a new " +
        "checkpoint and fromOffsets, or auto.offset.reset.",
      cause
    )

object DirectKafkaRDD {

  /** A record as bytes, numbers big-endian: partition (4), offset (8), the topic's length (4) and name, the key's
    * length (4; -1 for none) and bytes, whether there is a value (1), and the value.
    */
  def packed(record: ConsumerRecord[Array[Byte], Array[Byte]]): Array[Byte] = {
    val topic = record.topic.getBytes(UTF_8)
    val key = Option(record.key)
    val value = Option(record.value)
    val out = ByteBuffer.allocate(21 + topic.length + key.fold(0)(_.length) + value.fold(0)(_.length))
    out.putInt(record.partition).putLong(record.offset).putInt(topic.length).put(topic)
    out.putInt(key.fold(-1)(_.length))
    key.foreach(out.put)
    out.put((if (value.isEmpty) 0 else 1).toByte)
    value.foreach(out.put)
    out.array
  }

  private def source(context: SparkContext, properties: Map[String, String], ranges: Array[OffsetRange]): RDD[_] = {
    val executors = executorsOf(context)
    val located = ranges.map { range =>
      val location =
        if (executors.isEmpty) None else Some(executors(Math.floorMod(range.at.hashCode, executors.length)))
      KafkaOffsetRange(range.at, range.fromOffset, range.untilOffset, location)
    }
    new KafkaSourceRDD(
      context,
      consumerProperties(properties),
      located.toIndexedSeq,
      context.conf.getTimeAsMs("spark.network.timeout", "120s"),
      true
    )
  }

  /** A partition goes to the same executor in each batch, where its consumer is. */
  private def executorsOf(context: SparkContext): IndexedSeq[String] = {
    val blocks = context.env.blockManager
    blocks.master
      .getPeers(blocks.blockManagerId)
      .map(peer => ExecutorCacheTaskLocation(peer.host, peer.executorId).toString)
      .sorted
      .toIndexedSeq
  }

  private def consumerProperties(properties: Map[String, String]): JHashMap[String, Object] = {
    val deserializer = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
    val own = Map(
      "key.deserializer" -> deserializer,
      "value.deserializer" -> deserializer,
      "enable.auto.commit" -> "false",
      "auto.offset.reset" -> "none"
    )
    val all = new JHashMap[String, Object]
    (properties ++ own).foreach { case (name, value) => all.put(name, value) }
    all
  }

  private def namesDataLoss(error: SparkThrowable): Boolean = Option(error.getCondition).exists(_.contains("DATA_LOSS"))

  private def lost(error: Throwable): Boolean = error match {
    case null                                             => false
    case _: OffsetOutOfRangeException                     => true
    case spark: SparkThrowable if namesDataLoss(spark)    => true
    case other                                            => lost(other.getCause)
  }
}
