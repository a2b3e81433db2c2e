"""The runbook poison_record in Airflow. Its page is in plugins/streamops/runbooks/poison_record.py."""

from __future__ import annotations

from airflow.sdk import DAG

from streamops.runbooks.dag import runbook_dag
from streamops.runbooks.poison_record import RUNBOOK

dag: DAG = runbook_dag(RUNBOOK)
