package org.apache.spark.streaming.streamops

import java.time.Duration

import scala.collection.mutable.ArrayBuffer
import scala.util.control.NonFatal

import org.apache.kafka.clients.consumer.KafkaConsumer
import org.apache.kafka.common.errors._
import org.apache.spark.internal.Logging
import org.apache.spark.storage.{StorageLevel, StreamBlockId}
import org.apache.spark.streaming.receiver.{BlockGenerator, BlockGeneratorListener, Receiver}

/** Reads Kafka by its consumer-group API, in an executor: poll, store, commit, in this order.
  *
  * `store` returns when the driver knows of the chunk and, with the write-ahead log on, when it is on the file system. So a
  * committed offset is a record that was received for good. A crash in between delivers records twice: whoever plans a
  * batch drops what is processed (see BatchPlan).
  */
final class KafkaReceiver(settings: ReceiverSettings, level: StorageLevel) extends Receiver[Chunk](level) with Logging {
  import KafkaReceiver._

  @transient private var thread: Thread = _
  @transient @volatile private var consumer: KafkaConsumer[Array[Byte], Array[Byte]] = _
  @transient private var limiter: BlockGenerator = _
  @transient private var failures: Int = 0

  override def onStart(): Unit = {
    // Spark sends its rate to the block generators of a receiver. This one generates nothing; it is asked for the rate.
    limiter = supervisor.createBlockGenerator(Silent)
    thread = new Thread(() => run(), s"kafka-receiver-$streamId")
    thread.setDaemon(true)
    thread.start()
  }

  override def onStop(): Unit = {
    val reading = consumer
    if (reading != null) reading.wakeup()
    if (thread != null && thread != Thread.currentThread()) thread.join(StopTimeoutMs)
  }

  private def run(): Unit =
    try {
      val reading = new KafkaConsumer[Array[Byte], Array[Byte]](settings.consumerProperties(streamId))
      consumer = reading
      try new Reading(reading, settings, put, () => isStopped(), () => limiter.getCurrentLimit).go()
      finally {
        consumer = null
        reading.close(Duration.ofSeconds(5))
      }
    } catch {
      case NonFatal(_) if isStopped() => ()
      case NonFatal(error) if isFinal(error) =>
        val reason = s"$FatalMark ${error.getClass.getSimpleName}: ${error.getMessage}"
        reportError(reason, error)
        stop(reason, error)
      case NonFatal(error) =>
        failures += 1
        val delayMs = math.min(FirstDelayMs << math.min(failures - 1, 10), LongestDelayMs)
        restart(s"starting again in $delayMs ms, failure $failures in a row: $error", error, delayMs.toInt)
    }

  private def put(chunk: Chunk): Unit = {
    store(ArrayBuffer(chunk), ChunkInfo(chunk.spans, chunk.records))
    failures = 0
  }
}

object KafkaReceiver {

  /** Begins the message of an error that trying again cannot mend; the driver ends the job when it sees it. */
  val FatalMark = "[fatal]"

  private val StopTimeoutMs = 10000L
  private val FirstDelayMs = 500L
  private val LongestDelayMs = 30000L

  private def isFinal(error: Throwable): Boolean = error match {
    // Another member with this one's id is in the group: Spark thought this receiver dead. It may go on after that one.
    case _: FencedInstanceIdException => false
    case _: AuthorizationException | _: AuthenticationException | _: InvalidTopicException => true
    case _: Reading.NoSuchTopic | _: Reading.TopicMadeAgain => true
    case _: SerializationException | _: UnsupportedVersionException | _: InvalidConfigurationException => true
    case _: org.apache.kafka.common.config.ConfigException => true
    // Creating the consumer wraps what is wrong with its properties, such as a key store that is not there.
    case wrapped: org.apache.kafka.common.KafkaException if wrapped.getCause != null => isFinal(wrapped.getCause)
    case _ => false
  }

  private object Silent extends BlockGeneratorListener {
    override def onAddData(data: Any, metadata: Any): Unit = ()
    override def onGenerateBlock(blockId: StreamBlockId): Unit = ()
    override def onPushBlock(blockId: StreamBlockId, buffer: ArrayBuffer[_]): Unit = ()
    override def onError(message: String, error: Throwable): Unit = ()
  }
}
