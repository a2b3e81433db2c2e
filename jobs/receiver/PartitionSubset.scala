package org.apache.spark.streaming.streamops

import org.apache.spark.{NarrowDependency, Partition, TaskContext}
import org.apache.spark.rdd.RDD

/** Some partitions of an RDD, so that no task is started for those that hold nothing of interest. */
private[streamops] final class PartitionSubset(chunks: RDD[Chunk], taken: Array[Int])
    extends RDD[Chunk](
      chunks.sparkContext,
      Seq(new NarrowDependency[Chunk](chunks) {
        override def getParents(partition: Int): Seq[Int] = Seq(taken(partition))
      })
    ) {

  override def getPartitions: Array[Partition] = taken.zipWithIndex.map { case (parent, number) =>
    new SubsetPartition(number, firstParent[Chunk].partitions(parent))
  }

  override def compute(split: Partition, context: TaskContext): Iterator[Chunk] =
    firstParent[Chunk].iterator(split.asInstanceOf[SubsetPartition].parent, context)

  override def getPreferredLocations(split: Partition): Seq[String] =
    firstParent[Chunk].preferredLocations(split.asInstanceOf[SubsetPartition].parent)
}

private final class SubsetPartition(override val index: Int, val parent: Partition) extends Partition
