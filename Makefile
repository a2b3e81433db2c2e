# Every command a person needs. `make demo` in a fresh clone is the way in; `make help` lists the rest.

# The first Python on PATH that is new enough; the oldest one that fits comes first, since that is what CI uses.
PYTHON ?= $(or $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done),python3)
BIN := .venv/bin

.PHONY: help setup demo up down status test test-all drills unit lint lock bench bench-receiver bench-points bench-cleanup soak clean \
	clean-all

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## Virtual environment, pinned packages, pinned jars; seconds when nothing changed
	@$(PYTHON) bootstrap.py

demo: setup  ## From nothing to live counts; Ctrl-C leaves the view and the stack up
	@$(BIN)/streamops demo

up: setup  ## Start Kafka, Spark and Airflow on loopback; safe to repeat
	@$(BIN)/streamops stack up

down:  ## Stop them and every process they started; data stays
	@if [ -x $(BIN)/streamops ]; then $(BIN)/streamops stack down; fi

status:  ## Probe each server
	@$(BIN)/streamops stack status

test: lint unit  ## Style, types, unit tests, DAGs, jobs, real servers; under 40 minutes
	$(BIN)/pytest -m "not long" tests/dags tests/jobs tests/integration

test-all: lint unit  ## What `make test` does, and all that widens or repeats it; about twice as long
	STREAMOPS_TEST_FAULTS=$${STREAMOPS_TEST_FAULTS:-9} $(BIN)/pytest tests/dags tests/jobs tests/integration

drills: setup  ## Every fault on both approaches, N=10 times each, on servers of its own: a night; prints the table
	STREAMOPS_TEST_DRILLS=$(or $(N),10) STREAMOPS_TEST_FAULT_NAMES=$(FAULTS) \
		$(BIN)/pytest tests/integration/test_drills.py tests/integration/test_drilled_clusters.py \
		-k "matrix or cut or hdfs or clusters"

unit: setup  ## Tests that need no server, under a minute
	$(BIN)/pytest tests/unit

lint: setup  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy jobs/*.py jobs/sinks/*.py jobs/transforms/*.py

lock:  ## Pin requirements.in into requirements.txt, keeping what is pinned; UPGRADE=1 takes the newest
	$(BIN)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --quiet $(if $(UPGRADE),--upgrade) -o requirements.txt

bench: setup  ## The job's overhead beside a bare foreachBatch, on a broker of its own; about 8 minutes
	$(BIN)/python benchmarks/overhead.py

bench-receiver: setup  ## The receiver beside a bare consumer, the direct job, and lambdas of Spark 2; about 10 minutes
	$(BIN)/python benchmarks/receiver.py

bench-points: setup  ## A recovery point of 10,000 to 50,000 partitions beside kafka-consumer-groups; about 5 minutes
	$(BIN)/python benchmarks/points.py

bench-cleanup: setup  ## A cleanup of a million files: listed, judged, quarantined, brought back; about 4 minutes
	$(BIN)/python benchmarks/cleanup.py

soak: setup  ## Memory of everything over 20 minutes of feeding, on a stack of its own
	$(BIN)/python benchmarks/memory.py

clean:  ## Remove caches
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

clean-all: down clean  ## Remove the environment too, and all data of the stack
	rm -rf .venv .streamops
