# Everything that a developer or CI runs. `make help` lists it.
#
# A fresh machine needs Python >= 3.11 and make, nothing else: the first target that is run creates .venv,
# installs the locked versions of uv.lock into it, and goes on. PYTHON=/path/to/python chooses another Python.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV_VERSION := $(shell sed -n '/^name = "uv"$$/{n;s/^version = "\(.*\)"$$/\1/p;}' uv.lock)
PORT ?= 5000
LMS_PORT ?= 5001
# One more than the cores: tests with a browser or a server of their own wait more than they compute.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)
TESTS ?=
DEMO ?=
# Old makes (macOS) cannot keep the outputs of parallel targets apart; they run one after the other.
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),--jobs=2 --output-sync=target)

# Some machines tell Python to keep no compiled code (PYTHONDONTWRITEBYTECODE). Every program that a test starts would
# then compile all that it loads: three seconds for the shortest command instead of one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check docs translations bench clean environment \
	format-check lint types import-rules dependencies dead-code documents audit format

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-22s%s\n", $$1, $$2}'

environment: $(READY) ## create .venv and install the locked versions

$(READY): pyproject.toml uv.lock tests/node/package-lock.json tests/lrs/requirements.txt
	@PYTHON="$(PYTHON)" VENV="$(VENV)" UV_VERSION="$(UV_VERSION)" sh .ci/environment
	@touch $@

demo: $(READY) ## start the tool, a practice LMS and a sample company; Ctrl-C stops all (PORT=5000 LMS_PORT=5001)
	@$(BIN)/rmplugin demo --port $(PORT) --lms-port $(LMS_PORT) $(DEMO)

test: $(READY) ## run the whole test suite on SQLite, then on PostgreSQL when it is installed (TESTS=path)
	@$(BIN)/python -m tests.run --workers $(WORKERS) $(TESTS)

check: $(READY) ## format, lint, types, import rules, dependencies, dead code, documents, known vulnerabilities
	@$(MAKE) --no-print-directory --keep-going $(TOGETHER) \
		types format-check lint import-rules dependencies dead-code documents audit
	@echo "make check: all clean"

format-check: $(READY)
	@echo "== ruff format" && $(BIN)/ruff format --check .

lint: $(READY)
	@echo "== ruff check" && $(BIN)/ruff check .

types: $(READY)
	@echo "== mypy --strict" && $(BIN)/mypy

import-rules: $(READY)
	@echo "== import-linter" && $(BIN)/lint-imports

dependencies: $(READY)
	@echo "== deptry" && $(BIN)/deptry rmplugin connectors lti

dead-code: $(READY)
	@echo "== vulture" && $(BIN)/python .ci/dead_code.py

documents: $(READY)
	@echo "== documents" && $(BIN)/python -m pytest -q -n 0 -p no:cacheprovider tests/rules/test_documents.py

audit: $(READY)
	@echo "== pip-audit" && $(BIN)/python .ci/audit.py

format: $(READY) ## rewrite the code in the house format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(READY) ## write the documents that follow from the code: settings, commands, LTI cases
	@$(BIN)/python -m tests.rules.documents

translations: $(READY) ## bring the catalogues of translations up to date and compile them
	@$(BIN)/python .ci/translations.py

bench: $(READY) ## launches per second, roster sync and matching against their floors
	@$(BIN)/python -m benchmarks

clean: ## remove the environment, caches and the demo's data
	rm -rf $(VENV) .data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
