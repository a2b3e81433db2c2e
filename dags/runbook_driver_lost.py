"""The runbook driver_lost in Airflow. Its page is in plugins/streamops/runbooks/driver_lost.py."""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.runbooks.dag import runbook_dag
from streamops.runbooks.driver_lost import RUNBOOK

dag: DAG = runbook_dag(RUNBOOK)
