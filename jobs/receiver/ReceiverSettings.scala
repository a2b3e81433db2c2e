package org.apache.spark.streaming.streamops

import java.util.{List => JList, Map => JMap, Properties}

import scala.jdk.CollectionConverters._

/** What a receiver is told.
  *
  * @param topics      to subscribe to
  * @param properties  of the Kafka consumer; what the order poll, store, commit needs is set over them
  * @param start       where reading begins in a partition for which the group has committed nothing, by `topic-partition`.
  *                    One that is not named was added to its topic later, and is read from offset 0
  * @param pollRecords the most records of one poll
  * @param member      prefix of the group's static member ids, so that a receiver that is started again gets its
  *                    partitions back at once and one that was thought dead is fenced off (KIP-345); empty for none
  * @param mark        written into each commit, and only commits with it count; empty for any
  */
@SerialVersionUID(1)
final case class ReceiverSettings(
    topics: Seq[String],
    properties: Map[String, String],
    start: Map[String, Long],
    pollRecords: Int,
    member: String = "",
    mark: String = ""
) {

  def consumerProperties(receiver: Int): Properties = {
    val all = new Properties
    (ReceiverSettings.Defaults ++ properties ++ ReceiverSettings.Owned).foreach { case (name, value) =>
      all.put(name, value)
    }
    all.put("max.poll.records", pollRecords.toString)
    if (member.nonEmpty) all.put("group.instance.id", s"$member-$receiver")
    all
  }
}

object ReceiverSettings {

  /** The same out of Java's collections, for Python. */
  def of(
      topics: JList[String],
      properties: JMap[String, String],
      start: JMap[String, Number],
      pollRecords: Int,
      member: String,
      mark: String
  ): ReceiverSettings = {
    val offsets = start.asScala.map { case (at, offset) => at -> offset.longValue }.toMap
    ReceiverSettings(topics.asScala.toSeq, properties.asScala.toMap, offsets, pollRecords, member, mark)
  }

  private val Bytes = "org.apache.kafka.common.serialization.ByteArrayDeserializer"

  /** Fewer and larger polls, since each becomes a block: the broker waits up to 0.2 s for 1 MB to be there. */
  private val Defaults = Map(
    "fetch.min.bytes" -> (1 << 20).toString,
    "fetch.max.wait.ms" -> "200",
    "max.partition.fetch.bytes" -> (4 << 20).toString,
    "session.timeout.ms" -> "15000",
    "heartbeat.interval.ms" -> "3000",
    "allow.auto.create.topics" -> "false"
  )

  private val Owned = Map(
    "key.deserializer" -> Bytes,
    "value.deserializer" -> Bytes,
    "enable.auto.commit" -> "false",
    "auto.offset.reset" -> "none"
  )
}
