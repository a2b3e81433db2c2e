"""
 Counts words received directly from Kafka, and prints what each batch consists of.
 Usage: direct_kafka_wordcount.py <broker_list> <topic>
"""
from __future__ import print_function

import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext
from kafka_utils import KafkaUtils

offsetRanges = []


def storeOffsetRanges(rdd):
    offsetRanges.append(rdd.offsetRanges())
    return rdd


def printOffsetRanges(time, rdd):
    for o in rdd.offsetRanges():
        print("range %s %s %s %s" % (time.timestamp(), o.partition, o.fromOffset, o.untilOffset))
    print(rdd.offsetRanges()[0])
    print("seen", rdd.offsetRanges() in offsetRanges)


if __name__ == "__main__":
    brokers, topic = sys.argv[1:]
    sc = SparkContext(appName="PythonStreamingDirectKafkaWordCount")
    ssc = StreamingContext(sc, 1)

    kvs = KafkaUtils.createDirectStream(ssc, [topic], {"metadata.broker.list": brokers,
                                                       "auto.offset.reset": "smallest"})
    lines = kvs.transform(storeOffsetRanges).map(lambda x: x[1])
    kvs.foreachRDD(printOffsetRanges)
    kvs.filter(lambda kv: kv[1] is None).map(lambda kv: ("deleted " + kv[0], 1)).pprint()

    counts = lines.filter(lambda line: line).flatMap(lambda line: line.split(" ")) \
        .map(lambda word: (word, 1)) \
        .reduceByKey(lambda a, b: a+b)
    counts.pprint()

    ssc.start()
    ssc.awaitTermination()
