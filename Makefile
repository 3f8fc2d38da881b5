# Everything a person types here: make serve | test | check | bench. See README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV_COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"

# Where it is set, every start of the program would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup serve check format lint types imports unit test soak bench docs lock clean

help: ## show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Distfile Mirror needs Python 3.11 or later; set PYTHON=/path/to/python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "python3 lacks venv: install the package python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime requirements/test.txt
	$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

setup: $(VENV)/.runtime ## make .venv with distfile-mirror in it

serve: setup ## run everything on this machine: proxy, admin, downloader
	@exec $(BIN)/distfile-mirror serve

check: format lint types imports unit ## what to run before every commit: under a minute

format: $(VENV)/.test
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }

lint: $(VENV)/.test
	@$(BIN)/ruff check --quiet .

types: $(VENV)/.test
	@$(BIN)/mypy

imports: $(VENV)/.test
	@told=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$told"; exit 1; }

unit: $(VENV)/.test
	@$(BIN)/pytest --quiet --numprocesses 2 tests/unit

# Three processes on two cores: much of what is tested is waiting. What takes long, the acceptance tests, comes first.
test: format lint types imports ## every test, with real servers and clients
	@DISTFILE_MIRROR_SCREENSHOTS=$${DISTFILE_MIRROR_SCREENSHOTS:-$(CURDIR)/test-artifacts/screenshots} \
		$(BIN)/pytest -rs --numprocesses 3 --dist loadfile --no-loadscope-reorder tests
	@scripts/test-on-servers $(BIN)/pytest -rs --numprocesses 3

soak: $(VENV)/.test ## the long runs: crash tests at full length
	@$(BIN)/pytest -rs -m soak tests

bench: $(VENV)/.test ## speed as ratios to nginx and curl, into benchmarks/results.md
	@$(BIN)/python -m benchmarks

docs: $(VENV)/.runtime ## write the generated parts of docs/ anew
	@$(BIN)/python scripts/generate_docs.py

lock: $(VENV)/.test ## compile requirements/*.txt anew (needs uv in .venv)
	$(PIP) install uv
	$(UV_COMPILE) pyproject.toml -o requirements/runtime.txt
	$(UV_COMPILE) requirements/build.in -o requirements/build.txt
	$(UV_COMPILE) requirements/test.in -o requirements/test.txt

clean: ## remove .venv and caches; never data/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
