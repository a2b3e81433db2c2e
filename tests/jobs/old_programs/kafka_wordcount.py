"""
 Counts words in UTF8 encoded, '\n' delimited text received from Kafka every second.
 Usage: kafka_wordcount.py <zk> <topic>
"""
from __future__ import print_function

import sys

from pyspark import SparkContext, StorageLevel
from pyspark.streaming import StreamingContext
from kafka_utils import KafkaUtils

if __name__ == "__main__":
    zkQuorum, topic = sys.argv[1:]
    sc = SparkContext(appName="PythonStreamingKafkaWordCount")
    ssc = StreamingContext(sc, 1)

    kvs = KafkaUtils.createStream(ssc, zkQuorum, "wordcount-" + topic, {topic: 1},
                                  {"auto.offset.reset": "smallest", "fetch.message.max.bytes": 2097152},
                                  StorageLevel.MEMORY_AND_DISK_SER_2)
    lines = kvs.map(lambda x: x[1]).filter(lambda line: line is not None)
    counts = lines.flatMap(lambda line: line.split(" ")) \
        .map(lambda word: (word, 1)) \
        .reduceByKey(lambda a, b: a+b)
    counts.pprint()

    ssc.start()
    ssc.awaitTermination()
