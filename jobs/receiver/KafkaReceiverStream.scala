package org.apache.spark.streaming.streamops

import org.apache.spark.{Partition, TaskContext}
import org.apache.spark.internal.Logging
import org.apache.spark.rdd.RDD
import org.apache.spark.storage.StorageLevel
import org.apache.spark.streaming.{StreamingContext, Time}
import org.apache.spark.streaming.dstream.ReceiverInputDStream
import org.apache.spark.streaming.receiver.Receiver
import org.apache.spark.streaming.scheduler._
import org.apache.spark.streaming.scheduler.rate.RateEstimator

/** Chunks, and what each of them holds: a partition of the RDD is a chunk, in the order of `infos`. */
private[streamops] final class SpannedRDD(chunks: RDD[Chunk], @transient val infos: Array[ChunkInfo])
    extends RDD[Chunk](chunks) {
  override def getPartitions: Array[Partition] = firstParent[Chunk].partitions

  override def compute(split: Partition, context: TaskContext): Iterator[Chunk] =
    firstParent[Chunk].iterator(split, context)
}

private[streamops] object SpannedRDD {
  def union(rdds: Seq[SpannedRDD]): SpannedRDD =
    new SpannedRDD(rdds.head.sparkContext.union(rdds), rdds.flatMap(_.infos).toArray)
}

/** What one receiver stored. The spans of a batch are known before it runs, and rates count records, not chunks. */
private[streamops] final class KafkaReceiverStream(
    streaming: StreamingContext,
    settings: ReceiverSettings,
    level: StorageLevel
) extends ReceiverInputDStream[Chunk](streaming)
    with Logging {

  override def getReceiver(): Receiver[Chunk] = new KafkaReceiver(settings, level)

  override def compute(time: Time): Option[RDD[Chunk]] = {
    val received =
      if (time < graph.startTime) Nil else ssc.scheduler.receiverTracker.getBlocksOfBatch(time).getOrElse(id, Nil)
    // A block that is in no log is gone with its executor. Left out here, it shows as a gap, and is read from Kafka again.
    val (there, gone) = received.partition { block =>
      block.walRecordHandleOption.nonEmpty || ssc.sparkContext.env.blockManager.master.contains(block.blockId)
    }
    if (gone.nonEmpty) logWarning(s"${gone.size} blocks are gone with the executors that held them")
    val infos = there.map(_.metadataOption.get.asInstanceOf[ChunkInfo])
    ssc.scheduler.inputInfoTracker.reportInfo(time, StreamInputInfo(id, infos.map(_.records.toLong).sum))
    Some(new SpannedRDD(createBlockRDD(time, there), infos.toArray))
  }

  private val rate =
    Option.when(RateController.isBackPressureEnabled(ssc.conf)) {
      new BatchRate(RateEstimator.create(ssc.conf, ssc.graph.batchDuration))
    }

  override protected[streaming] val rateController: Option[RateController] = rate

  /** A batch is processed, and took from `beganMs` to `endedMs`. */
  def processed(taken: WaitingIntervals.Taken, beganMs: Long, endedMs: Long): Unit =
    rate.foreach(_.processed(taken, beganMs, endedMs))

  /** Spark's estimate of how many records a second can be processed, from batches of one or more intervals. */
  private final class BatchRate(estimator: RateEstimator) extends ReceiverRateController(id, estimator) {

    private var isFirst = true

    /** Spark tells of each interval. One that an earlier batch took along cost nothing. */
    override def onBatchCompleted(completed: StreamingListenerBatchCompleted): Unit = ()

    def processed(taken: WaitingIntervals.Taken, beganMs: Long, endedMs: Long): Unit = {
      val records = taken.intervals.flatMap(ssc.scheduler.inputInfoTracker.getInfo(_).get(id)).map(_.numRecords).sum
      val tookMs = endedMs - beganMs
      val isCold = isFirst && tookMs < KafkaReceiverStream.ColdMs
      if (records > 0) isFirst = false
      if (!isCold) judge(taken, records, tookMs, endedMs)
    }

    private def judge(taken: WaitingIntervals.Taken, records: Long, tookMs: Long, endedMs: Long): Unit = {
      val intervalMs = slideDuration.milliseconds
      // The rate of batches that follow one another at once is that of what comes in, and would never rise by itself.
      val tries = taken.left == 0 && tookMs > intervalMs && tookMs < WaitingIntervals.Most * intervalMs
      val spentMs = if (tries) (tookMs * KafkaReceiverStream.TryMore).round else tookMs
      val lateMs = taken.left * intervalMs
      val began = endedMs - spentMs
      val input = Map(id -> StreamInputInfo(id, records))
      val info = BatchInfo(taken.intervals.last, input, began - lateMs, Some(began), Some(endedMs), Map.empty)
      super.onBatchCompleted(StreamingListenerBatchCompleted(info))
    }
  }
}

private object KafkaReceiverStream {

  /** The part of its time that a batch counts for while more records are tried. */
  val TryMore = 0.9

  /** Most that the first batch of a start takes for loading and compiling code. It says nothing of how fast later ones are:
    * few records in such a time would slow receivers down to a rate from which they return only step by step.
    */
  val ColdMs = 10000L
}
