package org.apache.spark.streaming.streamops

import java.nio.ByteBuffer
import java.util.Arrays

/** Writes numbers seven bits a byte, as Protocol Buffers do, and arrays of bytes with their length before them. */
private[streamops] final class VariableLengthWriter {
  private var buffer = new Array[Byte](1 << 16)
  private var at = 0

  def int(value: Int): Unit = long(value & 0xffffffffL)

  /** Small numbers of either sign are short: 0, -1, 1, -2 are written as 0, 1, 2, 3. */
  def signed(value: Long): Unit = long((value << 1) ^ (value >> 63))

  /** A length of 0 stands for null, n + 1 for n bytes. */
  def bytes(value: Array[Byte]): Unit =
    if (value == null) int(0)
    else {
      int(value.length + 1)
      makeRoom(value.length)
      System.arraycopy(value, 0, buffer, at, value.length)
      at += value.length
    }

  def result(): Array[Byte] = Arrays.copyOf(buffer, at)

  private def long(value: Long): Unit = {
    makeRoom(VariableLengthWriter.LongestNumber)
    var rest = value
    while ((rest & ~0x7fL) != 0) {
      buffer(at) = ((rest & 0x7f) | 0x80).toByte
      at += 1
      rest >>>= 7
    }
    buffer(at) = rest.toByte
    at += 1
  }

  private def makeRoom(more: Int): Unit =
    if (buffer.length - at < more) buffer = Arrays.copyOf(buffer, math.max(buffer.length * 2, at + more))
}

private object VariableLengthWriter {
  /** 64 bits, seven in each byte. */
  val LongestNumber = 10
}

/** Reads what a VariableLengthWriter wrote, in the same order. */
private[streamops] final class VariableLengthReader(written: Array[Byte]) {
  private val in = ByteBuffer.wrap(written)

  def int(): Int = long().toInt

  def signed(): Long = {
    val value = long()
    (value >>> 1) ^ -(value & 1)
  }

  def bytes(): Array[Byte] = {
    val length = int() - 1
    if (length < 0) null
    else {
      val value = new Array[Byte](length)
      in.get(value)
      value
    }
  }

  private def long(): Long = {
    var value = 0L
    var shift = 0
    var more = true
    while (more) {
      val next = in.get()
      value |= (next & 0x7fL) << shift
      shift += 7
      more = next < 0
    }
    value
  }
}
