"""
 Calls that cannot work, and what they say.
 Usage: mistakes.py <broker_list> <topic> <unused_address> <go_on_file>
"""
from __future__ import print_function

import os
import sys
import time

from pyspark import SparkContext
from pyspark.streaming import StreamingContext
from kafka_utils import KafkaUtils, OffsetRange, TopicAndPartition


def attempt(name, call):
    try:
        call()
        print(name, "passed")
    except Exception as e:
        print(name, type(e).__name__, str(e).replace("\n", " "))


if __name__ == "__main__":
    brokers, topic, nobody, goOn = sys.argv[1:]
    sc = SparkContext(appName="PythonStreamingKafkaMistakes")
    ssc = StreamingContext(sc, 1)
    params = {"metadata.broker.list": brokers}
    short = {"request.timeout.ms": 3000, "default.api.timeout.ms": 3000, "zookeeper.connection.timeout.ms": 2000}
    at = TopicAndPartition(topic, 0)

    attempt("no-topic-direct", lambda: KafkaUtils.createDirectStream(ssc, ["nowhere"], params))
    attempt("no-topic-stream", lambda: KafkaUtils.createStream(ssc, brokers, "g", {"nowhere": 1}))
    attempt("no-partition", lambda: KafkaUtils.createDirectStream(
        ssc, [topic], params, {TopicAndPartition(topic, 7): 0}))
    attempt("no-brokers", lambda: KafkaUtils.createDirectStream(ssc, [topic], {}))
    attempt("dead-brokers", lambda: KafkaUtils.createDirectStream(
        ssc, [topic], dict(short, **{"metadata.broker.list": nobody})))
    attempt("dead-quorum", lambda: KafkaUtils.createStream(ssc, nobody + "/kafka", "g", {topic: 1}, short))
    attempt("other-topics", lambda: KafkaUtils.createDirectStream(ssc, ["other"], params, {at: 0}))
    attempt("too-early", lambda: KafkaUtils.createDirectStream(ssc, [topic], params, {at: 3}))
    attempt("too-late", lambda: KafkaUtils.createDirectStream(ssc, [topic], params, {at: 99}))
    attempt("rdd-too-late", lambda: KafkaUtils.createRDD(sc, params, [OffsetRange(topic, 0, 5, 99)]))
    attempt("bad-reset", lambda: KafkaUtils.createDirectStream(
        ssc, [topic], dict(params, **{"auto.offset.reset": "beginning"})))
    attempt("topics-type", lambda: KafkaUtils.createStream(ssc, brokers, "g", [topic]))
    attempt("fine", lambda: KafkaUtils.createDirectStream(ssc, [topic], params, {at: 5}))

    rdd = KafkaUtils.createRDD(sc, params, [OffsetRange(topic, 0, 5, 10)])
    print("waiting for " + goOn)
    while not os.path.exists(goOn):
        time.sleep(0.1)
    attempt("lost", rdd.count)
    sc.stop()
