"""The runbook stuck_batch in Airflow. Its page is in plugins/streamops/runbooks/stuck_batch.py."""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.runbooks.dag import runbook_dag
from streamops.runbooks.stuck_batch import RUNBOOK

dag: DAG = runbook_dag(RUNBOOK)
