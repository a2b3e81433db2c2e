"""Runbooks for on-call: evidence, a recommendation with its reason, approval, the action, and proof that it helped.

One runbook a module, whose docstring is the page that an engineer reads: in Airflow, and by `streamops runbook NAME
--help`. `catalogue` names them, `procedure` is what all of them do, `dag` makes a DAG of one.
"""
