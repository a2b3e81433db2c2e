package org.apache.spark.streaming.streamops

import java.nio.charset.StandardCharsets.UTF_8

import org.apache.kafka.clients.consumer.ConsumerRecord
import org.apache.kafka.common.record.TimestampType
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow
import org.apache.spark.sql.catalyst.util.GenericArrayData
import org.apache.spark.unsafe.types.UTF8String

/** Consumer positions of one partition before and after a poll: `first` to `until`, `until` not included.
  *
  * Positions, not offsets of records: compaction and transaction markers leave no hole between two spans.
  */
@SerialVersionUID(1)
final case class Span(topic: String, partition: Int, first: Long, until: Long)

/** What the driver knows of a chunk without reading it: it travels with the block's id. */
@SerialVersionUID(1)
final case class ChunkInfo(spans: Array[Span], records: Int) {

  // By what the spans are: Spark, started again, compares blocks to tell those that are in a batch from the others.
  override def equals(other: Any): Boolean = other match {
    case that: ChunkInfo => records == that.records && spans.sameElements(that.spans)
    case _               => false
  }

  override def hashCode: Int = spans.toSeq.hashCode
}

/** The records of one poll, or of a part of it, as one array of bytes: an object a record would cost more than the record.
  *
  * A record is: index of its span, offset and timestamp as differences from the record before it, timestamp type, key,
  * value, headers.
  */
@SerialVersionUID(1)
final class Chunk(val spans: Array[Span], val records: Int, private val bytes: Array[Byte]) extends Serializable {

  /** Rows of Spark's Kafka schema with offsets from `first` to `until`, both given for each span. */
  def rows(first: Array[Long], until: Array[Long]): Iterator[InternalRow] = {
    val topics = spans.map(span => UTF8String.fromString(span.topic))
    val reader = new Chunk.Reader(bytes)
    Iterator
      .fill(records) {
        reader.next()
        if (reader.offset < first(reader.span) || reader.offset >= until(reader.span)) null
        else
          new GenericInternalRow(
            Array[Any](
              reader.key,
              reader.value,
              topics(reader.span),
              spans(reader.span).partition,
              reader.offset,
              reader.timestampMs * 1000,
              reader.timestampType,
              reader.headers
            )
          )
      }
      .filter(_ != null)
  }

  /** Keys and values, null where the record has none. */
  def keysAndValues: Iterator[(Array[Byte], Array[Byte])] = {
    val reader = new Chunk.Reader(bytes)
    Iterator.fill(records) {
      reader.next()
      (reader.key, reader.value)
    }
  }
}

object Chunk {

  /** Changes when a chunk that was written can no longer be read: what is in a write-ahead log is then left to Kafka. */
  val Format = 1

  /** Puts records behind each other. */
  final class Builder {
    private val out = new VariableLengthWriter
    private var offset, timestamp = 0L
    private var count = 0

    def records: Int = count

    /** `span` is the index of the record's span among those given to `result`. */
    def add(span: Int, record: ConsumerRecord[Array[Byte], Array[Byte]]): Unit = {
      out.int(span)
      out.signed(record.offset - offset)
      out.signed(record.timestamp - timestamp)
      offset = record.offset
      timestamp = record.timestamp
      out.int(if (record.timestampType == TimestampType.LOG_APPEND_TIME) 1 else 0)
      out.bytes(record.key)
      out.bytes(record.value)
      val headers = record.headers.toArray
      out.int(headers.length)
      headers.foreach { header =>
        out.bytes(header.key.getBytes(UTF_8))
        out.bytes(header.value)
      }
      count += 1
    }

    def result(spans: Array[Span]): Chunk = new Chunk(spans, count, out.result())
  }

  /** Goes from record to record; what it shows is that of the last `next`. */
  private final class Reader(bytes: Array[Byte]) {
    private val in = new VariableLengthReader(bytes)
    var span, timestampType = 0
    var offset, timestampMs = 0L
    var key, value: Array[Byte] = _
    var headers: GenericArrayData = _

    def next(): Unit = {
      span = in.int()
      offset += in.signed()
      timestampMs += in.signed()
      timestampType = in.int()
      key = in.bytes()
      value = in.bytes()
      val count = in.int()
      headers =
        if (count == 0) null
        else
          new GenericArrayData(Array.fill[Any](count) {
            val name = UTF8String.fromBytes(in.bytes())
            new GenericInternalRow(Array[Any](name, in.bytes()))
          })
    }
  }
}
