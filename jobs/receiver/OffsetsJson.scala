package org.apache.spark.streaming.streamops

import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.databind.ObjectMapper

/** Offsets by topic and partition, `{"lines": {"0": 217}}`: how Python and Scala tell each other where a pipeline stands. */
private[streamops] object OffsetsJson {
  private val mapper = new ObjectMapper

  def read(text: String): Map[Source, Long] =
    (for {
      topic <- mapper.readTree(text).properties.asScala
      partition <- topic.getValue.properties.asScala
    } yield Source(topic.getKey, partition.getKey.toInt) -> partition.getValue.asLong).toMap

  def write(ends: Map[Source, Long], gaps: Seq[Span]): String = {
    val root = mapper.createObjectNode
    val topics = root.putObject("ends")
    ends.foreach { case (source, end) =>
      topics.withObject(s"/${escaped(source.topic)}").put(source.partition.toString, end)
    }
    val listed = root.putArray("gaps")
    gaps.foreach(gap => listed.addArray.add(gap.topic).add(gap.partition).add(gap.first).add(gap.until))
    mapper.writeValueAsString(root)
  }

  /** In a JSON pointer. Names of topics hold neither character, but nothing here depends on that. */
  private def escaped(name: String): String = name.replace("~", "~0").replace("/", "~1")
}
