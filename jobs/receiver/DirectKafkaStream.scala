package org.apache.spark.streaming.streamops

import scala.collection.mutable

import org.apache.kafka.common.TopicPartition
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.kafka010.streamops.{DirectKafkaRDD, OffsetRange}
import org.apache.spark.streaming.{StreamingContext, Time}
import org.apache.spark.streaming.dstream.{DStreamCheckpointData, InputDStream}
import org.apache.spark.streaming.scheduler.{RateController, StreamInputInfo}
import org.apache.spark.streaming.scheduler.rate.RateEstimator

/** Batches by offsets: each one is, for each partition, what came since the batch before, as far as the rate allows.
  *
  * Where the stream stands and the ranges of unfinished batches are in Spark's checkpoint, so a restarted program runs
  * those batches on the same records and goes on behind them.
  *
  * @param topics   whose partitions are read, later ones from their first record; none when `begin` names them all
  * @param begin    the first offset of each partition
  * @param metadata see DirectKafkaRDD
  */
@SerialVersionUID(1L)
final class DirectKafkaStream(
    streaming: StreamingContext,
    topics: Seq[String],
    properties: Map[String, String],
    begin: Map[TopicPartition, Long],
    metadata: Boolean
) extends InputDStream[Any](streaming) {

  private var position: Map[TopicPartition, Long] = begin
  @transient private var connected: KafkaUtilsBrokers = _

  override protected[streaming] def name: String = s"Kafka direct stream [$id]"
  override protected[streaming] val checkpointData: DStreamCheckpointData[Any] = new RangesOfBatches
  override protected[streaming] val rateController: Option[RateController] =
    if (RateController.isBackPressureEnabled(ssc.conf))
      Some(new DriverRate(id, RateEstimator.create(ssc.conf, ssc.graph.batchDuration)))
    else None

  override def start(): Unit = brokers.require(position)

  override def stop(): Unit = if (connected != null) {
    connected.close()
    connected = null
  }

  override def compute(time: Time): Option[RDD[Any]] = {
    addNewPartitions()
    val latest = brokers.latest(position.keys)
    position.foreach { case (at, from) =>
      if (latest(at) < from) throw KafkaUtilsException.shrunk(at, from, latest(at))
    }
    val until = limited(latest)
    val ranges = position.toArray
      .map { case (at, from) => OffsetRange(at.topic, at.partition, from, until(at)) }
      .sortBy(range => (range.topic, range.partition))
    val shown = ranges.filter(range => range.untilOffset > range.fromOffset).map { range =>
      s"topic: ${range.topic}\tpartition: ${range.partition}\toffsets: ${range.fromOffset} to ${range.untilOffset}"
    }
    val info = Map("offsets" -> ranges.toList, StreamInputInfo.METADATA_KEY_DESCRIPTION -> shown.mkString("\n"))
    val records = ranges.map(range => range.untilOffset - range.fromOffset).sum
    ssc.scheduler.inputInfoTracker.reportInfo(time, StreamInputInfo(id, records, info))
    position = until
    Some(batch(ranges))
  }

  private def batch(ranges: Array[OffsetRange]): RDD[Any] =
    new DirectKafkaRDD(ssc.sparkContext, properties, ranges, metadata)

  private def brokers: KafkaUtilsBrokers = {
    if (connected == null) connected = new KafkaUtilsBrokers(properties)
    connected
  }

  private def addNewPartitions(): Unit = if (topics.nonEmpty) {
    val added = brokers.partitions(topics).filterNot(position.contains)
    if (added.nonEmpty) {
      position ++= brokers.earliest(added)
      logInfo(s"partitions were added: ${added.mkString(", ")}")
    }
  }

  /** `latest`, or as far as rates allow: each partition's and, with back-pressure, that of all, by lag. */
  private def limited(latest: Map[TopicPartition, Long]): Map[TopicPartition, Long] = {
    val seconds = ssc.graph.batchDuration.milliseconds / 1000.0
    val ofPartition = Some(ssc.conf.getLong("spark.streaming.kafka.maxRatePerPartition", 0L)).filter(_ > 0)
    val ofAll = rateController
      .map(_.getLatestRate())
      .map(rate => if (rate > 0) rate else ssc.conf.getLong("spark.streaming.backpressure.initialRate", 0L))
      .filter(_ > 0)
    val lag = latest.map { case (at, end) => at -> (end - position(at)) }
    val total = lag.values.sum
    latest.map { case (at, end) =>
      val shares = ofPartition.map(_.toDouble) ++ ofAll.map(_ * (lag(at).toDouble / math.max(1L, total)))
      // At least one record, or a partition with a small share would never be read.
      val most = shares.minOption.map(rate => math.max(1L, (rate * seconds).toLong))
      at -> most.fold(end)(records => math.min(end, position(at) + records))
    }
  }

  /** The ranges of the batches that Spark still remembers: they are rebuilt from this when a program goes on. */
  @SerialVersionUID(1L)
  private final class RangesOfBatches extends DStreamCheckpointData[Any](this) {
    private def ranges = data.asInstanceOf[mutable.HashMap[Time, Array[OffsetRange]]]

    override def update(time: Time): Unit = {
      ranges.clear()
      generatedRDDs.foreach { case (at, rdd) => ranges += at -> rdd.asInstanceOf[DirectKafkaRDD].ranges }
    }

    override def cleanup(time: Time): Unit = ()

    override def restore(): Unit = ranges.foreach { case (at, ofBatch) => generatedRDDs += at -> batch(ofBatch) }
  }
}

/** Spark's rate, kept where the ranges are made: there is no receiver to send it to. */
@SerialVersionUID(1L)
private final class DriverRate(stream: Int, estimator: RateEstimator) extends RateController(stream, estimator) {
  override def publish(rate: Long): Unit = ()
}
