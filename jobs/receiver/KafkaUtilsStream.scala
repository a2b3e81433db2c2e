package org.apache.spark.streaming.streamops

import org.apache.spark.SparkException
import org.apache.spark.rdd.RDD
import org.apache.spark.storage.StorageLevel
import org.apache.spark.streaming.{StreamingContext, Time}
import org.apache.spark.streaming.dstream.ReceiverInputDStream
import org.apache.spark.streaming.receiver.Receiver
import org.apache.spark.streaming.scheduler._

/** One receiver of an old program, which joins the consumer group that the program names.
  *
  * Unlike the receiver job's stream, it takes its settings with it into the checkpoint: there is no batch log to say
  * where a new driver begins, only the group's committed offsets.
  */
@SerialVersionUID(1L)
final class KafkaUtilsStream(streaming: StreamingContext, settings: ReceiverSettings, level: StorageLevel)
    extends ReceiverInputDStream[Chunk](streaming) {

  override protected[streaming] def name: String = s"Kafka stream [$id]"

  override def getReceiver(): Receiver[Chunk] = new KafkaReceiver(settings, level)

  override def start(): Unit = ssc.addStreamingListener(new FatalErrors)

  /** As Spark does it, but counting records: a chunk holds thousands, and rates are of records. */
  override def compute(time: Time): Option[RDD[Chunk]] = {
    val blocks =
      if (time < graph.startTime) Nil else ssc.scheduler.receiverTracker.getBlocksOfBatch(time).getOrElse(id, Nil)
    val records = blocks.flatMap(_.metadataOption).collect { case info: ChunkInfo => info.records.toLong }.sum
    ssc.scheduler.inputInfoTracker.reportInfo(time, StreamInputInfo(id, records))
    Some(createBlockRDD(time, blocks))
  }

  /** Ends the program when its receiver cannot go on: awaitTermination raises the reason. */
  private final class FatalErrors extends StreamingListener {
    override def onReceiverStopped(stopped: StreamingListenerReceiverStopped): Unit = {
      val info = stopped.receiverInfo
      if (info.streamId == id && info.lastErrorMessage.startsWith(KafkaReceiver.FatalMark))
        ssc.scheduler.reportError("the Kafka receiver cannot go on", new SparkException(info.lastErrorMessage))
    }
  }
}

@SerialVersionUID(1L)
private final class KeysAndValues extends (Chunk => Iterator[(Array[Byte], Array[Byte])]) with Serializable {
  override def apply(chunk: Chunk): Iterator[(Array[Byte], Array[Byte])] = chunk.keysAndValues
}
