# Lead Router: everything you can do here. `make` says what.
.DEFAULT_GOAL := help
.PHONY: help run demo test check format schemas screenshots bench chaos kafka-jars node-clients lock clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# Two workers: the machines of CI have two cores. Tests that share a broker or a product stay on one worker.
WORKERS ?= 2
PYTEST := $(BIN)/pytest -m "not slow" -n $(WORKERS) --dist loadgroup

help: ## Say what there is
	@echo "Lead Router. make run, then open http://127.0.0.1:8000 . Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Install into .venv (once) and start everything; Ctrl-C stops it, data stay in .lead-router
	@.ci/install run
	@exec $(BIN)/lead-router up

demo: ## Play the example stories as live traffic against a running service
	@.ci/install run
	@exec $(BIN)/lead-router demo

test: ## Run the whole suite, real PostgreSQL and Kafka included; says what was skipped and why
	@.ci/install dev
	$(PYTEST) -ra

check: ## What CI runs: format, lint, types, import contracts, tests with coverage
	@.ci/install dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@# These tests kill brokers and databases and drive browsers on a busy machine: what fails is told, then run once more, alone. Failing twice is failing.
	$(PYTEST) -ra --cov --cov-report=term:skip-covered || { \
	  [ $$? -eq 1 ] && echo "== FAILED ABOVE: those tests once more, one at a time ==" && $(BIN)/pytest -m "not slow" --lf --lfnf=none -n 0 -ra --cov --cov-append --cov-report=; }
	@# The rules themselves are covered whole, branches included.
	$(BIN)/coverage report --include='services/*/core/*' --skip-covered --fail-under=100

format: ## Format the code and mend what can be mended
	@.ci/install dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: ## Write what is made from code: schemas/json, schemas/asyncapi.yaml, the settings table in docs/operations.md
	@.ci/install dev
	$(BIN)/python -m tests.support.published

screenshots: ## Take pictures of the console into docs/images (needs Chromium)
	@.ci/install dev
	$(BIN)/python -m tests.support.screenshots

bench: ## Measure, and print the tables as ratios against the yardsticks of the same run
	@.ci/install dev
	$(BIN)/python -m tests.bench

chaos: ## The long runs that kill and freeze processes while traffic flows
	@.ci/install dev
	$(BIN)/pytest -m "slow or not slow" -ra tests/chaos

kafka-jars: ## Fetch the Kafka that tests start (needs Java and Maven; once)
	@.ci/install dev
	$(BIN)/python -c 'from tests.support.kafka import jars; jars()'

node-clients: tests/clients/node_modules/.package-lock.json ## Fetch the Node and browser clients that tests drive (needs npm; once)

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json
	npm ci --prefix tests/clients
	@touch $@

lock: ## Pin requirements*.in anew, with hashes (needs uv)
	uv pip compile -q --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url requirements.in -o requirements.txt
	uv pip compile -q --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url requirements-dev.in -o requirements-dev.txt

clean: ## Remove .venv and caches; data in .lead-router stay
	rm -rf .venv tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
