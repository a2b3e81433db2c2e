package org.apache.spark.streaming.streamops

import org.apache.spark.{Partition, TaskContext}
import org.apache.spark.internal.Logging
import org.apache.spark.rdd.RDD
import org.apache.spark.storage.StorageLevel
import org.apache.spark.streaming.{StreamingContext, Time}
import org.apache.spark.streaming.dstream.ReceiverInputDStream
import org.apache.spark.streaming.receiver.Receiver
import org.apache.spark.streaming.scheduler.StreamInputInfo

/** Chunks, and what each of them holds: a partition of the RDD is a chunk, in the order of `infos`. */
private[streamops] final class SpannedRDD(chunks: RDD[Chunk], @transient val infos: Array[ChunkInfo])
    extends RDD[Chunk](chunks) {
  override def getPartitions: Array[Partition] = firstParent[Chunk].partitions

  override def compute(split: Partition, context: TaskContext): Iterator[Chunk] =
    firstParent[Chunk].iterator(split, context)
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
}
