# One environment for everything, made from the hash-pinned locks; nothing is read from outside them.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do $$python -c \
	'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
BESIDE_KAFKA := $(BIN)/python deploy/kafka-local/kafka.py exec
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
.DEFAULT_GOAL := help
.PHONY: help demo up check test simulate integration on-kafka bench sdks kafka docs format lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.run: requirements/run.lock pyproject.toml
	@echo "making $(VENV) from requirements/run.lock"
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	@echo "adding requirements/dev.lock"
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

demo: $(VENV)/.run ## run the whole pipeline on real orders and print what happened
	@$(BIN)/cuestream demo $(ARGS)

up: $(VENV)/.run ## start everything on this machine; Ctrl-C stops it
	@$(BIN)/cuestream up $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import contracts, unit tests: under a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q -n 2 -m "not embedded and not integration and not slow" $(ARGS)

test: $(VENV)/.dev ## every test that needs nothing but Python
	@$(BIN)/pytest -n 2 --dist loadgroup -m "not integration" $(ARGS)

simulate: $(VENV)/.dev ## whole runs with faults, drawn from seeds: SEEDS=n [FROM=seed], or SEED=seed
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)) \
		$(if $(FROM),--from $(FROM))

integration: $(VENV)/.dev ## the suite against a real Apache Kafka and PostgreSQL (Java, Maven, Node)
	@$(BESIDE_KAFKA) $(BIN)/pytest -m integration $(ARGS)

on-kafka: $(VENV)/.dev ## the services' own tests once more, on a real Apache Kafka
	@$(BESIDE_KAFKA) $(BIN)/pytest -n 2 --dist loadgroup -m embedded $(ARGS) \
		$(addprefix tests/,api definitions dispatcher ingest profile_store runtime worker)

bench: $(VENV)/.dev ## the worker beside its rivals, ingest and latency, in one run
	@$(BIN)/python -m tests.benchmarks $(ARGS)

sdks: ## install the Node SDKs that the integration suite runs (Node 18 and npm)
	@cd tests/sdks/node && npm ci --silent

kafka: ## run a real Apache Kafka here in the foreground (Java 17 and Maven); Ctrl-C stops it
	@$(PYTHON) deploy/kafka-local/kafka.py run $(ARGS)

docs: $(VENV)/.dev ## write the pages and the client that come from code
	@$(BIN)/python docs/generate.py

format: $(VENV)/.dev ## apply formatting and safe fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(VENV)/.dev ## compile the lock files again from pyproject.toml
	@$(BIN)/python requirements/lock.py

clean: ## remove everything that make and the tools have made
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache deploy/kafka-local/libs
	@find services tests deploy docs -name __pycache__ -prune -exec rm -rf {} +
