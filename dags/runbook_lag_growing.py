"""The runbook lag_growing in Airflow. Its page is in plugins/streamops/runbooks/lag_growing.py."""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.runbooks.dag import runbook_dag
from streamops.runbooks.lag_growing import RUNBOOK

dag: DAG = runbook_dag(RUNBOOK)
