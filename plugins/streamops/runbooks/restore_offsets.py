"""### Set a pipeline to another place in its topics

Opens a generation that begins at stated offsets. Batches whose records are processed again are superseded: `streamops
counts` and every reader of the batch log leave them out.

**Symptom**: wrong output went into the sink and its records must be processed again; retention or a topic that was made
again has stopped the job; the state directory was deleted; somebody set offsets by hand.

**Steps**
1. `streamops stop PIPELINE`, or the DAG `lifecycle`. While a driver or a group member lives, `plan` refuses. A receiver
   that was killed is a member for another 45 s.
2. Trigger this DAG. A target is a recovery point (one of each hour is offered, `streamops offsets points` has all), a
   time with its zone, earliest, latest, records back or forward (`-1000`), offsets (`lines:0=42,lines:1=7`), the text
   of a CSV file as `kafka-consumer-groups --export` writes it; `move`: a copy of the topics, by time (`old=new`, the
   old connection's id, or both); `undo`, which takes the last of these back.
3. Read the forecast in the log of `plan`: per partition what is replayed, skipped and gone; which batches overlap.
4. Approve in the task `approve` (Required Actions); `approval: false` skips that. `apply` restores and reads back.
5. `start` runs the pipeline. `progress` succeeds when the first batch begins exactly at the stated offsets, within the
   time that a start may take; clear it when that was too short.

**Is it safe to repeat?** Yes. What is done is what was approved, or nothing when the pipeline has moved on since. A
restore that was interrupted is finished by clearing `apply`. Of two at once, one is refused.

**How to undo**: stop the pipeline, and trigger this with the target `undo`. Without Airflow: `streamops offsets undo`.
"""

PAGE = __doc__ or ""
