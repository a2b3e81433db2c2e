package org.apache.spark.streaming.streamops

import java.util.{List => JList, Map => JMap, UUID}

import scala.jdk.CollectionConverters._

import org.apache.kafka.common.TopicPartition
import org.apache.spark.api.java.{JavaRDD, JavaSparkContext}
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.kafka010.streamops.{DirectKafkaRDD, OffsetRange}
import org.apache.spark.storage.StorageLevel
import org.apache.spark.streaming.api.java.{JavaDStream, JavaStreamingContext}

/** What jobs/kafka_utils.py calls. Names of properties are today's; `reset` is `earliest` or `latest`. */
object KafkaUtils {
  private type Pair = (Array[Byte], Array[Byte])

  def createStream(
      streaming: JavaStreamingContext,
      topics: JList[String],
      properties: JMap[String, String],
      reset: String,
      pollRecords: Int,
      level: StorageLevel
  ): JavaDStream[Pair] = {
    // Where a group without commits begins is settled here, so that nothing which is sent while a receiver starts, or
    // starts again, is passed over.
    val first = using(properties)(brokers => begin(brokers, topics, reset))
    val start = first.map { case (at, offset) => at.toString -> offset }
    val settings = ReceiverSettings(topics.asScala.toSeq, properties.asScala.toMap, start, pollRecords)
    new JavaDStream(new KafkaUtilsStream(streaming.ssc, settings, level).flatMap(new KeysAndValues))
  }

  /** `from` gives the first offsets by names such as `lines-0`; where it is empty, `reset` says where to begin. */
  def createDirectStream(
      streaming: JavaStreamingContext,
      topics: JList[String],
      properties: JMap[String, String],
      reset: String,
      from: JMap[String, Number],
      metadata: Boolean
  ): JavaDStream[Any] = {
    val first = using(properties) { brokers =>
      if (from.isEmpty) begin(brokers, topics, reset)
      else {
        val named = from.asScala.map { case (name, offset) => partition(name) -> offset.longValue }.toMap
        brokers.require(named)
        named
      }
    }
    val followed = if (from.isEmpty) topics.asScala.toSeq else Nil
    new JavaDStream(new DirectKafkaStream(streaming.ssc, followed, ofTasks(properties), first, metadata))
  }

  /** `ranges` are topic, partition, first and until-offset, one after the other. */
  def createRDD(
      context: JavaSparkContext,
      properties: JMap[String, String],
      ranges: JList[Object],
      metadata: Boolean
  ): JavaRDD[Any] = {
    val wanted = ranges.asScala.grouped(4).map { range =>
      val numbers = range.tail.map(_.asInstanceOf[Number].longValue)
      OffsetRange(range.head.toString, numbers(0).toInt, numbers(1), numbers(2))
    }.toArray
    using(properties) { brokers =>
      brokers.require(wanted.map(range => range.at -> range.fromOffset).toMap)
      brokers.require(wanted.map(range => range.at -> range.untilOffset).toMap)
    }
    new JavaRDD(new DirectKafkaRDD(context.sc, ofTasks(properties), wanted, metadata): RDD[Any])
  }

  /** Those of the one Kafka RDD from which `rdd` comes without a shuffle; null when there is none, or more than one. */
  def offsetRanges(rdd: RDD[_]): JList[OffsetRange] =
    (rdd +: rdd.getNarrowAncestors).collect { case kafka: DirectKafkaRDD => kafka } match {
      case Seq(one) => one.ranges.toSeq.asJava
      case _        => null
    }

  /** Whether what answers at `bootstrap.servers` is Kafka. */
  def brokersAnswer(properties: JMap[String, String], timeoutMs: Int): Boolean = using(properties)(_.answer(timeoutMs))

  def registeredBrokers(quorum: String, timeoutMs: Int): JList[String] = KafkaUtilsBrokers.registered(quorum, timeoutMs)

  private def using[A](properties: JMap[String, String])(ask: KafkaUtilsBrokers => A): A = {
    val brokers = new KafkaUtilsBrokers(properties.asScala.toMap)
    try ask(brokers)
    finally brokers.close()
  }

  /** Executors keep consumers by their group, so that each stream's is its own; the group itself is never joined. */
  private def ofTasks(properties: JMap[String, String]): Map[String, String] = {
    val program = properties.asScala.getOrElse("group.id", "kafka-utils")
    properties.asScala.toMap + ("group.id" -> s"$program-${UUID.randomUUID}")
  }

  private def begin(brokers: KafkaUtilsBrokers, topics: JList[String], reset: String): Map[TopicPartition, Long] = {
    val partitions = brokers.partitions(topics.asScala)
    if (reset == "earliest") brokers.earliest(partitions) else brokers.latest(partitions)
  }

  private def partition(name: String): TopicPartition = {
    val dash = name.lastIndexOf('-')
    new TopicPartition(name.substring(0, dash), name.substring(dash + 1).toInt)
  }
}
