package org.apache.spark.streaming.streamops

import scala.jdk.CollectionConverters._
import scala.util.{Failure, Success, Try}
import scala.util.control.NonFatal

import org.apache.spark.{Partition, SparkContext, TaskContext}
import org.apache.spark.internal.Logging
import org.apache.spark.network.util.JavaUtils
import org.apache.spark.rdd.RDD
import org.apache.spark.storage.{BlockId, StorageLevel}
import org.apache.spark.streaming.rdd.WriteAheadLogBackedBlockRDD
import org.apache.spark.streaming.scheduler._
import org.apache.spark.streaming.util.WriteAheadLogUtils
import org.apache.spark.util.Utils

/** Reads what receivers of an earlier driver, or of this one before it started again, left in write-ahead logs.
  *
  * Spark's own recovery takes a checkpoint: it needs the very classes that wrote it, shares its directories with a driver
  * that was thought dead, and runs a batch for each interval of the time the job was down. Here the batch log says what is
  * processed, so all that is wanted from a log is its blocks.
  */
object RecoveredBlocks extends Logging {

  /** The chunks in some checkpoint directories that can be read, in no order, as one batch. Reads each of them once, but for
    * those of which all is processed: logs are kept for a while, and most chunks of a driver that was killed are such.
    *
    * @param processed where the pipeline stands: `{"lines": {"0": 217}}`
    */
  def read(context: SparkContext, directories: java.util.List[String], processed: String): ReceivedBatch = {
    val stands = OffsetsJson.read(processed)
    val found = directories.asScala.toSeq.flatMap(blocks(context, _)).filter { block =>
      info(block).spans.exists(span => span.until > stands.getOrElse(Source(span.topic, span.partition), 0L))
    }
    // A task reads many of them: at a start, one for each would take longer than to read them.
    val tasks = math.max(1, context.defaultParallelism)
    val readable = new ReadableRDD(segments(context, found)).coalesce(tasks).collect().toSet
    val kept = found.indices.filter(readable).map(found)
    if (kept.size < found.size) logWarning(s"${found.size - kept.size} of ${found.size} blocks cannot be read")
    new ReceivedBatch(new SpannedRDD(segments(context, kept), kept.map(info).toArray), 0)
  }

  private def info(block: ReceivedBlockInfo): ChunkInfo = block.metadataOption.get.asInstanceOf[ChunkInfo]

  private def segments(context: SparkContext, blocks: Seq[ReceivedBlockInfo]): RDD[Chunk] =
    new WriteAheadLogBackedBlockRDD[Chunk](
      context,
      blocks.map(_.blockId: BlockId).toArray,
      blocks.flatMap(_.walRecordHandleOption).toArray,
      Array.fill(blocks.size)(false), // not in memory: whoever held it there may be gone
      false,
      StorageLevel.NONE
    )

  /** Every block that the driver of a directory knew of, whatever it did with it. */
  private def blocks(context: SparkContext, directory: String): Seq[ReceivedBlockInfo] = {
    val logged = ReceivedBlockTracker.checkpointDirToLogDir(directory)
    val log = WriteAheadLogUtils.createLogForDriver(context.conf, logged, context.hadoopConfiguration)
    try
      log.readAll().asScala.flatMap { record =>
        val loader = Thread.currentThread.getContextClassLoader
        Try(Utils.deserialize[ReceivedBlockTrackerLogEvent](JavaUtils.bufferToArray(record), loader)) match {
          case Success(BlockAdditionEvent(block)) if block.walRecordHandleOption.nonEmpty => Some(block)
          case Success(_)                                                                => None
          case Failure(error) =>
            logWarning(s"a record of $logged cannot be read: $error")
            None
        }
      }.toList
    catch {
      case NonFatal(error) =>
        logWarning(s"$logged cannot be read; what is in it is read from Kafka again", error)
        Nil
    } finally log.close()
  }
}

/** The numbers of the chunks that can be read to their end. */
private final class ReadableRDD(chunks: RDD[Chunk]) extends RDD[Int](chunks) {
  override def getPartitions: Array[Partition] = firstParent[Chunk].partitions

  override def compute(split: Partition, context: TaskContext): Iterator[Int] =
    Iterator(split.index).filter { _ =>
      Try(firstParent[Chunk].iterator(split, context).foreach(_.keysAndValues.foreach(_ => ()))).isSuccess
    }

  override def getPreferredLocations(split: Partition): Seq[String] = firstParent[Chunk].preferredLocations(split)
}
