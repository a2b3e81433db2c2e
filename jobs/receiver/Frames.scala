package org.apache.spark.sql.streamops

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.{DataFrame, SparkSession}
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.sql.types.StructType

/** Spark makes a DataFrame of internal rows only for its own packages; converting each row would cost more than reading. */
object Frames {
  def of(session: SparkSession, rows: RDD[InternalRow], schema: StructType): DataFrame =
    session.asInstanceOf[ClassicSession].internalCreateDataFrame(rows, schema)
}
