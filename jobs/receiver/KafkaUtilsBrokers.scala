package org.apache.spark.streaming.streamops

import java.util.Properties
import java.util.concurrent.{CountDownLatch, ExecutionException, TimeUnit}

import scala.jdk.CollectionConverters._

import org.apache.kafka.clients.admin._
import org.apache.kafka.common.{IsolationLevel, KafkaException, KafkaFuture, TopicPartition}
import org.apache.kafka.common.errors.{InvalidTopicException, TimeoutException, UnknownTopicOrPartitionException}
import org.apache.zookeeper.{KeeperException, WatchedEvent, Watcher, ZooKeeper}

/** What a program can mend: Python shows the message alone. */
final class KafkaUtilsException(message: String, cause: Throwable = null) extends RuntimeException(message, cause)

object KafkaUtilsException {
  def shrunk(at: TopicPartition, position: Long, latest: Long): KafkaUtilsException = new KafkaUtilsException(
    s"$at ends at offset $latest, before the offset at which this program stands, $position: the topic was deleted " +
      "and created again, or fromOffsets is too high. Begin with a new checkpoint and offsets that exist."
  )

  def lost(at: TopicPartition, position: Long, earliest: Long): KafkaUtilsException = new KafkaUtilsException(
    s"$at begins at offset $earliest; records from $position on, not read by this program, are gone: retention " +
      "or a deletion took them. To go on without them, begin with a new checkpoint and fromOffsets, or " +
      "auto.offset.reset."
  )
}

/** What a driver asks the brokers: which partitions there are, and where each begins and ends. */
final class KafkaUtilsBrokers(properties: Map[String, String]) extends AutoCloseable {
  private val servers = properties("bootstrap.servers")
  private val admin: Admin =
    try Admin.create(KafkaUtilsBrokers.adminProperties(properties))
    catch {
      case error: KafkaException =>
        val why = Option(error.getCause).getOrElse(error).getMessage
        throw new KafkaUtilsException(s"These settings of Kafka's client do not do: $why", error)
    }
  private val offsetsOf = new ListOffsetsOptions(
    if (properties.get("isolation.level").exists(_.equalsIgnoreCase("read_committed"))) IsolationLevel.READ_COMMITTED
    else IsolationLevel.READ_UNCOMMITTED
  )

  override def close(): Unit = admin.close(java.time.Duration.ofSeconds(5))

  /** Whether a Kafka broker answers within `timeoutMs`. */
  def answer(timeoutMs: Int): Boolean =
    try {
      admin.describeCluster(new DescribeClusterOptions().timeoutMs(timeoutMs)).nodes.get
      true
    } catch {
      case error: ExecutionException if error.getCause.isInstanceOf[TimeoutException] => false
      case error: ExecutionException => throw explained(error.getCause, topic = "")
    }

  def partitions(topics: Iterable[String]): Seq[TopicPartition] = {
    val described = admin.describeTopics(topics.toSeq.asJava).topicNameValues.asScala
    described.toSeq.sortBy(_._1).flatMap { case (topic, answer) =>
      get(answer, topic).partitions.asScala.map(partition => new TopicPartition(topic, partition.partition))
    }
  }

  def earliest(of: Iterable[TopicPartition]): Map[TopicPartition, Long] = offsets(of, OffsetSpec.earliest)

  /** With `isolation.level=read_committed`: before the first transaction that is still open. */
  def latest(of: Iterable[TopicPartition]): Map[TopicPartition, Long] = offsets(of, OffsetSpec.latest)

  /** That each partition exists and holds what comes at its offset, or ends there. */
  def require(positions: Map[TopicPartition, Long]): Unit = {
    val missing = positions.keySet -- partitions(positions.keys.map(_.topic).toSet)
    if (missing.nonEmpty) {
      val names = missing.map(_.toString).toSeq.sorted.mkString(", ")
      throw new KafkaUtilsException(s"There is no partition $names at $servers.")
    }
    val first = earliest(positions.keys)
    val last = latest(positions.keys)
    positions.foreach { case (at, position) =>
      if (position < first(at)) throw KafkaUtilsException.lost(at, position, first(at))
      if (position > last(at)) throw KafkaUtilsException.shrunk(at, position, last(at))
    }
  }

  private def offsets(of: Iterable[TopicPartition], spec: OffsetSpec): Map[TopicPartition, Long] = {
    val answer = admin.listOffsets(of.map(_ -> spec).toMap.asJava, offsetsOf)
    of.map(at => at -> get(answer.partitionResult(at), at.topic).offset).toMap
  }

  private def get[A](answer: KafkaFuture[A], topic: String): A =
    try answer.get
    catch { case error: ExecutionException => throw explained(error.getCause, topic) }

  private def explained(error: Throwable, topic: String): KafkaUtilsException = error match {
    case _: UnknownTopicOrPartitionException | _: InvalidTopicException =>
      new KafkaUtilsException(s"There is no topic $topic at $servers. Create it first, or correct its name.", error)
    case _: TimeoutException =>
      new KafkaUtilsException(
        s"No Kafka broker answers at $servers. Brokers belong here, host:9092,…, not ZooKeeper's addresses.",
        error
      )
    case other =>
      new KafkaUtilsException(s"Kafka at $servers: ${other.getClass.getSimpleName}: ${other.getMessage}", other)
  }
}

object KafkaUtilsBrokers {

  /** What each broker of a cluster says of itself in ZooKeeper, as JSON; nothing when no broker is up, or uses it.
    *
    * @param quorum `host:port,…` with or without a path in which Kafka keeps its nodes (`/kafka`)
    * @return null when no ZooKeeper answers within `timeoutMs`
    */
  def registered(quorum: String, timeoutMs: Int): java.util.List[String] = {
    val connected = new CountDownLatch(1)
    val watcher: Watcher = (event: WatchedEvent) =>
      if (event.getState == Watcher.Event.KeeperState.SyncConnected) connected.countDown()
    val zookeeper = new ZooKeeper(quorum, timeoutMs, watcher)
    try {
      if (!connected.await(timeoutMs, TimeUnit.MILLISECONDS)) return null
      val ids = zookeeper.getChildren("/brokers/ids", false).asScala.toSeq
      ids.flatMap { id =>
        try Some(new String(zookeeper.getData(s"/brokers/ids/$id", false, null), "UTF-8"))
        catch { case _: KeeperException.NoNodeException => None } // it went while we looked
      }.asJava
    } catch {
      case _: KeeperException.NoNodeException => java.util.List.of()
    } finally zookeeper.close()
  }

  private def adminProperties(properties: Map[String, String]): Properties = {
    val known = properties.filter { case (name, _) => AdminClientConfig.configNames.contains(name) }
    val timeouts = Map("request.timeout.ms" -> "15000", "default.api.timeout.ms" -> "30000")
    val all = new Properties
    val complete = if (timeouts.keys.exists(known.contains)) known else known ++ timeouts
    complete.foreach { case (name, value) => all.put(name, value) }
    all
  }
}
