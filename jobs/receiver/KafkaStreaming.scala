package org.apache.spark.streaming.streamops

import java.util.concurrent.{CountDownLatch, TimeUnit}
import java.util.concurrent.atomic.AtomicInteger

import scala.util.control.NonFatal

import org.apache.spark.internal.Logging
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.storage.StorageLevel
import org.apache.spark.streaming.{Duration, StreamingContext, StreamingContextState, Time}
import org.apache.spark.streaming.scheduler.{
  StreamingListener,
  StreamingListenerReceiverError,
  StreamingListenerReceiverStarted,
  StreamingListenerReceiverStopped
}
import org.apache.spark.streaming.util.WriteAheadLogUtils
import org.apache.spark.util.ShutdownHookManager

/** The job in Python, as the JVM calls it. None of these raises. */
trait BatchHandler {

  /** Process a batch. False when it is not in the batch log: no further one will come. */
  def run(batch: ReceivedBatch): Boolean

  /** A receiver ended with an error that trying again cannot mend. */
  def failed(reason: String): Unit

  /** The JVM was told to end, and every batch that could be processed in time is. */
  def ended(): Unit
}

/** Receivers and their batches, from `start` to `stop`. None of it is ever read back from a checkpoint.
  *
  * @param directory   of Spark's checkpoint and write-ahead logs; this streaming's own
  * @param stopWithinS how long a graceful stop may take
  */
final class KafkaStreaming(
    session: SparkSession,
    directory: String,
    intervalMs: Long,
    receivers: Int,
    settings: ReceiverSettings,
    stopWithinS: Long,
    handler: BatchHandler
) extends Logging {
  private val started = new AtomicInteger
  private val spark = session.asInstanceOf[ClassicSession].sparkContext
  private val streaming = new StreamingContext(spark, Duration(intervalMs))
  private val giveUp = new CountDownLatch(1)
  @volatile private var stuck = false
  private var hook: AnyRef = _

  def start(): Unit = {
    KafkaStreaming.running = this
    if (WriteAheadLogUtils.enableReceiverLog(spark.conf)) streaming.checkpoint(directory)
    val streams = Seq.fill(receivers)(new KafkaReceiverStream(streaming, settings, KafkaStreaming.Level))
    val together = streaming.transform(streams, KafkaStreaming.union _)
    together.foreachRDD(KafkaStreaming.process _)
    streaming.addStreamingListener(new Watch)
    hook = ShutdownHookManager.addShutdownHook(KafkaStreaming.HookPriority)(() => end())
    streaming.start()
  }

  def isActive: Boolean = streaming.getState() == StreamingContextState.ACTIVE && !spark.isStopped

  /** Stop receivers; gracefully: and process what they have stored, within the limit. The Spark context stays. */
  def stop(gracefully: Boolean): Unit = {
    if (hook != null) ShutdownHookManager.removeShutdownHook(hook)
    stopStreaming(gracefully)
  }

  private def end(): Unit =
    try {
      logInfo(s"told to end: what was received is processed, for up to $stopWithinS s")
      stopStreaming(gracefully = !stuck)
      handler.ended()
    } catch { case NonFatal(error) => logWarning("the end was not graceful", error) }

  private def stopStreaming(gracefully: Boolean): Unit = {
    val ending = new CountDownLatch(1)
    val thread = new Thread(
      () => try streaming.stop(stopSparkContext = false, stopGracefully = gracefully) finally ending.countDown(),
      "stop-streaming"
    )
    thread.setDaemon(true)
    thread.start()
    if (!ending.await(stopWithinS, TimeUnit.SECONDS)) {
      logWarning(s"not stopped within $stopWithinS s; what was received and not processed comes first at the next start")
      giveUp.countDown()
    }
  }

  private[streamops] def process(rdd: SpannedRDD): Unit =
    if (!handler.run(new ReceivedBatch(rdd, started.get))) {
      // A batch that returned would count as done, and Spark would clean the log of what it held.
      stuck = true
      giveUp.await()
    }

  private final class Watch extends StreamingListener {
    override def onReceiverStarted(event: StreamingListenerReceiverStarted): Unit = started.incrementAndGet()

    override def onReceiverError(event: StreamingListenerReceiverError): Unit =
      tell(event.receiverInfo.lastErrorMessage)

    override def onReceiverStopped(event: StreamingListenerReceiverStopped): Unit = {
      started.decrementAndGet()
      tell(event.receiverInfo.lastErrorMessage)
    }

    private def tell(message: String): Unit =
      if (message.contains(KafkaReceiver.FatalMark)) handler.failed(message)
  }
}

object KafkaStreaming {

  /** Blocks that do not fit into memory go to disk. One copy: the write-ahead log, or else Kafka, holds the other. */
  private val Level = StorageLevel.MEMORY_AND_DISK_SER

  /** Before Spark's own hook (51), which would end streaming without processing what was received. */
  private val HookPriority = ShutdownHookManager.SPARK_CONTEXT_SHUTDOWN_PRIORITY + 2

  @volatile private var running: KafkaStreaming = _

  // What Spark writes into its checkpoint refers to these by name, so that nothing of a running driver is in it.
  private def union(rdds: Seq[RDD[_]], time: Time): RDD[Chunk] = {
    val spanned = rdds.map(_.asInstanceOf[SpannedRDD])
    new SpannedRDD(spanned.head.sparkContext.union(spanned), spanned.flatMap(_.infos).toArray)
  }

  private def process(rdd: RDD[Chunk], time: Time): Unit = running.process(rdd.asInstanceOf[SpannedRDD])
}
