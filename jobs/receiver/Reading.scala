package org.apache.spark.streaming.streamops

import java.time.Duration
import java.util.{Collection => JCollection, HashSet => JHashSet}

import scala.collection.mutable
import scala.collection.mutable.ArrayBuffer
import scala.jdk.CollectionConverters._

import org.apache.kafka.clients.consumer._
import org.apache.kafka.common.TopicPartition
import org.apache.kafka.common.errors.RebalanceInProgressException
import org.apache.spark.internal.Logging

/** One consumer's life: from subscribing to the end of its receiver. All of it runs in one thread.
  *
  * @param store   takes a chunk for good
  * @param stopped whether to end
  * @param limit   records a second, asked before each chunk
  */
private[streamops] final class Reading(
    consumer: KafkaConsumer[Array[Byte], Array[Byte]],
    settings: ReceiverSettings,
    store: Chunk => Unit,
    stopped: () => Boolean,
    limit: () => Long
) extends ConsumerRebalanceListener
    with Logging {
  import Reading._

  /** The position behind what is stored, of each partition that this consumer has. */
  private val position = mutable.Map.empty[TopicPartition, Long]
  private val uncommitted = mutable.Map.empty[TopicPartition, Long]

  /** Polled, and not stored yet. A partition that is taken away meanwhile leaves. */
  private val polled = mutable.LinkedHashMap.empty[TopicPartition, Polled]
  private var polledNs = System.nanoTime()

  def go(): Unit = {
    settings.topics.foreach(awaitTopic)
    consumer.subscribe(settings.topics.asJava, this)
    while (!stopped()) {
      poll(PollTimeout)
      while (polled.nonEmpty && !stopped()) {
        val began = System.nanoTime()
        val chunk = next()
        store(chunk)
        chunk.spans.foreach { span =>
          val at = new TopicPartition(span.topic, span.partition)
          position(at) = span.until
          uncommitted(at) = span.until
        }
        commit()
        keepToLimit(chunk.records, began)
      }
    }
    commit()
  }

  private def awaitTopic(topic: String): Unit = {
    val deadline = System.nanoTime() + TopicTimeout.toNanos
    while (consumer.partitionsFor(topic, TopicTimeout).isEmpty) {
      if (stopped() || System.nanoTime() > deadline) throw new NoSuchTopic(topic)
      Thread.sleep(500)
    }
  }

  private def poll(timeout: Duration): Unit = {
    polledNs = System.nanoTime()
    try {
      val records = consumer.poll(timeout)
      position.keys.toArray.sortBy(_.toString).foreach { at =>
        // While there is something left of an earlier poll, its partition is paused.
        val end = if (polled.contains(at)) position(at) else consumer.position(at)
        if (end > position(at)) polled(at) = new Polled(records.records(at).asScala.toIndexedSeq, end)
      }
    } catch {
      case gone: OffsetOutOfRangeException => skipWhatIsGone(gone.offsetOutOfRangePartitions.asScala.toMap)
    }
  }

  /** Go on at the earliest offset there is; the driver sees the gap, and decides. A position behind the end is no matter of
    * retention.
    */
  private def skipWhatIsGone(asked: Map[TopicPartition, java.lang.Long]): Unit = {
    val ends = consumer.endOffsets(asked.keys.toSeq.asJava).asScala
    asked.foreach { case (at, offset) => if (offset > ends(at)) throw new TopicMadeAgain(at, offset, ends(at)) }
    consumer.seekToBeginning(asked.keys.toSeq.asJava)
    asked.keys.foreach { at =>
      position(at) = consumer.position(at)
      logWarning(s"offsets ${asked(at)} to ${position(at)} of $at are gone from Kafka")
    }
  }

  override def onPartitionsAssigned(partitions: JCollection[TopicPartition]): Unit = {
    val committed = consumer.committed(new JHashSet(partitions)).asScala
    partitions.asScala.foreach { at =>
      committed.get(at).filter(known => known != null && isOurs(known)) match {
        case Some(known) => position(at) = known.offset
        case None        => begin(at)
      }
    }
    logInfo(s"reads ${position.map { case (at, offset) => s"$at from $offset" }.mkString(", ")}")
  }

  /** A group of this name may hold commits of others: of a pipeline whose state was deleted, or of an operator's tool. */
  private def isOurs(commit: OffsetAndMetadata): Boolean = settings.mark.isEmpty || commit.metadata == settings.mark

  /** What was polled and not stored is polled again, here or by the next owner; what is stored is said so in time. */
  override def onPartitionsRevoked(partitions: JCollection[TopicPartition]): Unit = {
    commit()
    forget(partitions)
  }

  /** Thrown out of the group: the partitions are another's, and what this one stored is read again, and dropped. */
  override def onPartitionsLost(partitions: JCollection[TopicPartition]): Unit = forget(partitions)

  private def forget(partitions: JCollection[TopicPartition]): Unit =
    partitions.asScala.foreach { at =>
      position.remove(at)
      uncommitted.remove(at)
      polled.remove(at)
    }

  private def begin(at: TopicPartition): Unit = {
    position(at) = settings.start.getOrElse(at.toString, 0L)
    consumer.seek(at, position(at))
    // From here on the group knows where this partition begins, also when it ends up with another member.
    uncommitted(at) = position(at)
  }

  /** A part of what was polled that is small against the limit, so that a low limit means small batches. */
  private def next(): Chunk = {
    val most = math.max(1L, math.min(limit() / ChunksASecond, Int.MaxValue)).toInt
    val builder = new Chunk.Builder
    val spans = ArrayBuffer.empty[Span]
    while (polled.nonEmpty && (spans.isEmpty || builder.records < most)) {
      val (at, rest) = polled.head
      val first = position(at)
      val until = rest.take(most - builder.records, builder.add(spans.length, _))
      spans += Span(at.topic, at.partition, first, until)
      if (rest.isEmpty) polled.remove(at)
    }
    builder.result(spans.toArray)
  }

  private def commit(): Unit = if (uncommitted.nonEmpty) {
    val marked = uncommitted.map { case (at, offset) => at -> new OffsetAndMetadata(offset, settings.mark) }
    try {
      consumer.commitSync(marked.toMap.asJava)
      uncommitted.clear()
    } catch {
      // Out of the group, or about to be: what is stored stays stored, and the next owner's copy of it is dropped.
      case error @ (_: CommitFailedException | _: RebalanceInProgressException) =>
        logInfo(s"offsets of stored records could not be committed: ${error.getMessage}")
    }
  }

  /** Wait until so many records were due, as a member of the group that takes part in every rebalance. */
  private def keepToLimit(records: Int, beganNs: Long): Unit = {
    val each = limit()
    val untilNs = if (each == Long.MaxValue) beganNs else beganNs + (records * 1e9 / math.max(1L, each)).toLong
    def left: Duration = Duration.ofNanos(math.max(0L, untilNs - System.nanoTime()))
    do {
      if (System.nanoTime() - polledNs > StayInGroupEvery.toNanos) {
        consumer.pause(consumer.assignment)
        poll(if (left.compareTo(PollTimeout) < 0) ShortPoll else PollTimeout)
        consumer.resume(consumer.assignment)
      } else Thread.sleep(math.min(left.toMillis, PollTimeout.toMillis))
    } while (!stopped() && !left.isZero)
  }
}

private[streamops] object Reading {
  private val PollTimeout = Duration.ofMillis(200)
  private val ShortPoll = Duration.ofMillis(20)
  private val TopicTimeout = Duration.ofSeconds(30)

  /** A rebalance ends when every member has polled, so nobody waits longer for this one. */
  private val StayInGroupEvery = Duration.ofSeconds(1)

  /** A receiver's blocks are small parts of a batch, as Spark's are: one every 0.2 s (`spark.streaming.blockInterval`). */
  private val ChunksASecond = 5L

  final class NoSuchTopic(topic: String) extends RuntimeException(s"topic $topic does not exist")

  final class TopicMadeAgain(at: TopicPartition, offset: Long, end: Long)
      extends RuntimeException(s"$at was read up to offset $offset and now ends at $end: the topic was made again")

  /** What a poll brought of one partition; `end` is the position after it, which may lie behind the last record. */
  private final class Polled(records: IndexedSeq[ConsumerRecord[Array[Byte], Array[Byte]]], end: Long) {
    private var taken = 0

    def isEmpty: Boolean = taken == records.length

    /** Hands on up to `most` records. Returns the position behind them. */
    def take(most: Int, add: ConsumerRecord[Array[Byte], Array[Byte]] => Unit): Long = {
      val upTo = math.min(records.length, taken + most)
      while (taken < upTo) {
        add(records(taken))
        taken += 1
      }
      if (isEmpty) end else records(taken).offset
    }
  }
}
