package org.apache.spark.streaming.streamops

import java.util.UUID
import java.util.concurrent.{ConcurrentHashMap, CountDownLatch, TimeUnit}

import scala.util.control.NonFatal

import org.apache.spark.internal.Logging
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.storage.{StorageLevel, StreamBlockId}
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
  private val started = ConcurrentHashMap.newKeySet[Int]
  private val spark = session.asInstanceOf[ClassicSession].sparkContext
  private val streaming = new StreamingContext(spark, Duration(intervalMs))
  @volatile private var stuck = false
  private val stopped = new CountDownLatch(1)
  private val opened = new CountDownLatch(1)
  @volatile private var doneMs = 0L
  private val waiting = new WaitingIntervals
  private var streams = Seq.empty[KafkaReceiverStream]
  private var hook: AnyRef = _
  private val tag = s"streamops-batches-${UUID.randomUUID}"

  def start(): Unit = {
    KafkaStreaming.running = this
    if (WriteAheadLogUtils.enableReceiverLog(spark.conf)) streaming.checkpoint(directory)
    streams = Seq.fill(receivers)(new KafkaReceiverStream(streaming, settings, KafkaStreaming.Level))
    val together = streaming.transform(streams, KafkaStreaming.union _)
    together.foreachRDD(KafkaStreaming.process _)
    streaming.addStreamingListener(new Watch)
    hook = ShutdownHookManager.addShutdownHook(KafkaStreaming.HookPriority)(() => end())
    streaming.start()
  }

  /** Let batches run. Until then receivers start and store, and what they store waits for what comes before it. */
  def open(): Unit = opened.countDown()

  def isActive: Boolean = streaming.getState() == StreamingContextState.ACTIVE && !spark.isStopped

  /** Stop receivers and batches. What was received and not processed stays in the write-ahead log, or in Kafka.
    *
    * False when Spark could not: a log that cannot be closed leaves it with its timer running, and this JVM is of no use
    * any more.
    */
  def stop(): Boolean = {
    if (hook != null) ShutdownHookManager.removeShutdownHook(hook)
    streaming.stop(stopSparkContext = false, stopGracefully = false)
    if (!spark.isStopped) spark.cancelJobsWithTag(tag)
    val isStopped = !streaming.scheduler.isStarted()
    if (isStopped) {
      stopped.countDown()
      forgetBlocks()
    }
    isStopped
  }

  /** What is not processed is read from the log, or from Kafka, so executors need not keep it. */
  private def forgetBlocks(): Unit =
    try {
      val master = spark.env.blockManager.master
      master.getMatchingBlockIds(_.isInstanceOf[StreamBlockId], askStorageEndpoints = true).foreach(master.removeBlock)
    } catch { case NonFatal(error) => logWarning("blocks that nobody needs stay in the executors", error) }

  /** Process what was received until now, for up to `withinS`; false when not all of it is. The receivers slow down to the
    * lowest rate, and a batch that begins after all that was received is waited for.
    */
  def drain(withinS: Long): Boolean = {
    val told = System.currentTimeMillis
    val deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(withinS)
    logInfo(s"told to end: what was received is processed, for up to $withinS s")
    while (doneMs <= told && !stuck && isActive && System.nanoTime() < deadline) {
      streams.foreach(each => streaming.scheduler.receiverTracker.sendRateUpdate(each.id, KafkaStreaming.LowestRate))
      Thread.sleep(200)
    }
    doneMs > told
  }

  /** The JVM ends. Spark's own graceful stop closes the log of blocks before it allocates the last of them to a batch, and
    * then waits for them in vain; so batches go on here until one has begun after all that was received.
    */
  private def end(): Unit =
    try {
      if (!drain(stopWithinS)) logWarning("not all of it is; what is left comes first at the next start")
      handler.ended()
    } catch { case NonFatal(error) => logWarning("the end was not graceful", error) }

  /** Spark runs the jobs of its intervals one after the other (`spark.streaming.concurrentJobs` is 1). */
  private def process(interval: Time): Unit = {
    opened.await() // before the clock of the batch, by which rates are judged
    waiting.take(interval).foreach(run)
  }

  private def run(taken: WaitingIntervals.Taken): Unit = {
    val beganMs = System.currentTimeMillis
    spark.addJobTag(tag)
    if (handler.run(new ReceivedBatch(taken.received, started.size))) {
      doneMs = taken.intervals.last.milliseconds
      streams.foreach(_.processed(taken, beganMs, System.currentTimeMillis))
    } else {
      // An interval that returned while Spark listens would count as done, and the log of what it held be cleaned.
      stuck = true
      stopped.await()
    }
  }

  private final class Watch extends StreamingListener {
    override def onReceiverStarted(event: StreamingListenerReceiverStarted): Unit =
      started.add(event.receiverInfo.streamId)

    override def onReceiverError(event: StreamingListenerReceiverError): Unit =
      tell(event.receiverInfo.lastErrorMessage)

    override def onReceiverStopped(event: StreamingListenerReceiverStopped): Unit = {
      started.remove(event.receiverInfo.streamId)
      tell(event.receiverInfo.lastErrorMessage)
    }

    private def tell(message: String): Unit =
      if (message.contains(KafkaReceiver.FatalMark)) handler.failed(message)
  }
}

object KafkaStreaming {

  /** Blocks that do not fit into memory go to disk. One copy: the write-ahead log, or else Kafka, holds the other. */
  private val Level = StorageLevel.MEMORY_AND_DISK_SER

  /** Records a second. Spark takes no 0. */
  private val LowestRate = 1L

  /** Before all of Spark's own hooks: they end streaming at once, and the executor of a local session before it. */
  private val HookPriority = ShutdownHookManager.DEFAULT_SHUTDOWN_PRIORITY + 1

  @volatile private var running: KafkaStreaming = _

  // What Spark writes into its checkpoint refers to these by name, so that nothing of a running driver is in it.
  private def union(rdds: Seq[RDD[_]], interval: Time): RDD[Chunk] = {
    val received = SpannedRDD.union(rdds.map(_.asInstanceOf[SpannedRDD]))
    running.waiting.add(interval, received)
    received
  }

  private def process(rdd: RDD[Chunk], interval: Time): Unit = running.process(interval)
}
