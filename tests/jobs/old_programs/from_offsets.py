"""
 Reads from given offsets, with a message handler and decoders; then the same records as a batch.
 Usage: from_offsets.py <broker_list> <topic>...
"""
from __future__ import print_function

import json
import sys

from pyspark import SparkContext
from pyspark.streaming import StreamingContext
from kafka_utils import Broker, KafkaUtils, OffsetRange, TopicAndPartition


def show(name):
    def shown(rdd):
        for element in rdd.collect():
            print(name, json.dumps(element))
    return shown


if __name__ == "__main__":
    brokers, topics = sys.argv[1], sys.argv[2:]
    sc = SparkContext(appName="PythonStreamingKafkaFromOffsets")
    ssc = StreamingContext(sc, 1)
    kafkaParams = {"metadata.broker.list": brokers, "isolation.level": "read_committed"}

    plain = topics[0]
    ranges = [OffsetRange(plain, 0, 3, 5), OffsetRange(plain, 0, 8, 10)]
    rdd = KafkaUtils.createRDD(sc, {"metadata.broker.list": brokers}, ranges,
                               {TopicAndPartition(plain, 0): Broker("localhost", 9092)})
    show("rdd")(rdd.map(lambda kv: [kv[0], kv[1]]))
    print("ranges", rdd.offsetRanges() == ranges, rdd.getNumPartitions())

    for topic in topics:
        fromOffsets = {TopicAndPartition(topic, 0): 2}
        handled = KafkaUtils.createDirectStream(
            ssc, [topic], kafkaParams, fromOffsets,
            keyDecoder=lambda k: k and k.decode("ascii").upper(),
            valueDecoder=lambda v: v and json.loads(v),
            messageHandler=lambda m: [m.topic, m.partition, m.offset, m.key, m.message])
        handled.foreachRDD(show("handled"))
        decoded = KafkaUtils.createDirectStream(ssc, [topic], kafkaParams, fromOffsets,
                                                valueDecoder=lambda v: v and len(v))
        decoded.map(lambda kv: [kv[0], kv[1]]).foreachRDD(show("decoded " + topic))

    ssc.start()
    ssc.awaitTermination()
