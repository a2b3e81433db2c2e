import java.time.Duration
import java.util.Properties

import scala.jdk.CollectionConverters._

import org.apache.kafka.clients.consumer.KafkaConsumer
import org.apache.kafka.common.TopicPartition
import org.apache.kafka.common.serialization.ByteArrayDeserializer

/** What nothing that reads Kafka by a consumer can be faster than: poll, look at each value, forget it. */
object BareLoop {

  /** Nanoseconds from the first record to the last of `records`, read with the receiver's own consumer settings. */
  def run(settings: java.util.Map[String, String], topic: String, records: Long): Long = {
    val properties = new Properties
    properties.putAll(settings)
    val consumer = new KafkaConsumer(properties, new ByteArrayDeserializer, new ByteArrayDeserializer)
    try {
      val partitions = consumer.partitionsFor(topic).asScala.map(at => new TopicPartition(topic, at.partition)).asJava
      consumer.assign(partitions)
      consumer.seekToBeginning(partitions)
      var read, bytes, began = 0L
      while (read < records) {
        val polled = consumer.poll(Duration.ofSeconds(10))
        if (began == 0L && !polled.isEmpty) began = System.nanoTime()
        polled.forEach { record =>
          read += 1
          bytes += record.value.length
        }
      }
      System.nanoTime() - began
    } finally consumer.close()
  }
}
