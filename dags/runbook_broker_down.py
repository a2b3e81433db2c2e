"""The runbook broker_down in Airflow. Its page is in plugins/streamops/runbooks/broker_down.py."""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.runbooks.broker_down import RUNBOOK
from streamops.runbooks.dag import runbook_dag

dag: DAG = runbook_dag(RUNBOOK)
