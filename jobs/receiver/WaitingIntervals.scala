package org.apache.spark.streaming.streamops

import scala.collection.mutable

import org.apache.spark.streaming.Time

/** What was received in intervals that are in no batch yet.
  *
  * A batch takes several of them when they wait, so that what a batch costs at least is paid once for all. A job that was
  * held up, or whose batches cost more than an interval whatever is in them, catches up by this.
  */
private[streamops] final class WaitingIntervals {
  import WaitingIntervals._

  private val waiting = mutable.LinkedHashMap.empty[Time, SpannedRDD]

  /** Intervals come in the order of time. */
  def add(interval: Time, received: SpannedRDD): Unit = synchronized(waiting(interval) = received)

  /** The oldest of them; None when an earlier batch took `interval` along. */
  def take(interval: Time): Option[Taken] = synchronized {
    Option.when(waiting.contains(interval)) {
      val (intervals, received) = waiting.take(Most).toSeq.unzip
      waiting --= intervals
      Taken(intervals, SpannedRDD.union(received), waiting.size)
    }
  }
}

private[streamops] object WaitingIntervals {

  /** Intervals in a batch. More would cost a little less, and make one batch of a long backlog: slow to fail, and to repeat. */
  val Most = 4

  /** @param left intervals that still wait */
  final case class Taken(intervals: Seq[Time], received: SpannedRDD, left: Int)
}
