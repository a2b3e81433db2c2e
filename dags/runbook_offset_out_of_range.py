"""The runbook offset_out_of_range in Airflow. Its page is in plugins/streamops/runbooks/offset_out_of_range.py."""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.runbooks.dag import runbook_dag
from streamops.runbooks.offset_out_of_range import RUNBOOK

dag: DAG = runbook_dag(RUNBOOK)
