"""
 Counts words over the whole life of the program; after a failure it goes on from its checkpoint.
 Usage: recoverable_wordcount.py <direct|receiver> <servers> <topic> <checkpoint> <output>
"""
from __future__ import print_function

import json
import os
import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext
from kafka_utils import KafkaUtils


def createContext(approach, servers, topic, output):
    print("Creating new context")
    sc = SparkContext(appName="PythonStreamingRecoverableKafkaWordCount")
    ssc = StreamingContext(sc, 1)
    if approach == "direct":
        kvs = KafkaUtils.createDirectStream(ssc, [topic], {"metadata.broker.list": servers,
                                                           "auto.offset.reset": "smallest"})

        def report(time, rdd):
            for o in rdd.offsetRanges():
                print("range %s %s %s %s" % (time.timestamp(), o.partition, o.fromOffset, o.untilOffset))
        kvs.foreachRDD(report)
    else:
        kafkaStreams = [KafkaUtils.createStream(ssc, servers, "recoverable-" + topic, {topic: 1},
                                                {"auto.offset.reset": "smallest"}) for _ in range(2)]
        kvs = ssc.union(*kafkaStreams)

    def updateFunc(new_values, last_sum):
        return sum(new_values) + (last_sum or 0)

    def save(time, rdd):
        # One file a batch: a batch that is run again writes the same one again.
        name = os.path.join(output, "%d.json" % (time.timestamp() * 1000))
        with open(name + ".tmp", "w") as f:
            json.dump(dict(rdd.collect()), f)
        os.rename(name + ".tmp", name)

    running_counts = kvs.map(lambda x: x[1]).flatMap(lambda line: line.split(" ")) \
        .map(lambda word: (word, 1)) \
        .updateStateByKey(updateFunc)
    running_counts.foreachRDD(save)
    return ssc


if __name__ == "__main__":
    approach, servers, topic, checkpoint, output = sys.argv[1:]
    ssc = StreamingContext.getOrCreate(checkpoint,
                                       lambda: createContext(approach, servers, topic, output))
    ssc.start()
    ssc.awaitTermination()
