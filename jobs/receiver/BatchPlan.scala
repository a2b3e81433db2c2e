package org.apache.spark.streaming.streamops

import scala.collection.mutable

/** A partition of a topic, as a key of maps. */
final case class Source(topic: String, partition: Int)

/** Which records of some chunks make a batch.
  *
  * @param first for each chunk, in the order given, and each of its spans: the first offset that is taken
  * @param until likewise, the first offset that is not taken any more
  * @param ends  where each partition stands after the batch
  * @param gaps  offsets that no chunk holds, although a later one of the same partition is there
  */
final case class BatchPlan(
    first: Array[Array[Long]],
    until: Array[Array[Long]],
    ends: Map[Source, Long],
    gaps: Seq[Span]
)

object BatchPlan {

  /** Takes what is not `processed` yet, each offset once, up to `limits` where a partition has one.
    *
    * Two chunks hold the same offsets when a receiver stored records and died, or was thrown out of its group, before it
    * could commit them. Chunks come in any order; what counts is where their spans begin.
    */
  def of(infos: Array[ChunkInfo], processed: Map[Source, Long], limits: Map[Source, Long]): BatchPlan = {
    val first = infos.map(info => Array.fill(info.spans.length)(0L))
    val until = infos.map(info => Array.fill(info.spans.length)(0L))
    val ends = mutable.Map.from(processed)
    val gaps = mutable.ArrayBuffer.empty[Span]
    val spans =
      for ((info, chunk) <- infos.zipWithIndex; (span, index) <- info.spans.zipWithIndex) yield (span, chunk, index)
    spans.sortBy { case (span, chunk, _) => (span.topic, span.partition, span.first, span.until, chunk) }.foreach {
      case (span, chunk, index) =>
        val source = Source(span.topic, span.partition)
        // A partition that nobody named was added to its topic meanwhile, and begins at 0.
        val position = ends.getOrElse(source, 0L)
        val end = math.min(span.until, limits.getOrElse(source, Long.MaxValue))
        if (end > position) {
          if (span.first > position) gaps += Span(span.topic, span.partition, position, math.min(span.first, end))
          first(chunk)(index) = math.max(position, span.first)
          until(chunk)(index) = end
          ends(source) = end
        }
    }
    BatchPlan(first, until, ends.toMap, gaps.toSeq)
  }
}
