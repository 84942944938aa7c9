# The Python for .venv. If it is older than 3.11, scripts/bootstrap.py looks for a newer one.
PYTHON ?= python3
# The bin directory of another PostgreSQL to test with, instead of the embedded one.
POSTGRES ?= $(SLOTWISE_TEST_POSTGRES_BIN)
# The default_transaction_isolation of the test databases, such as serializable.
ISOLATION ?= $(SLOTWISE_TEST_ISOLATION)
# Additional arguments, as in: make test ARGS="-k booking", make bench ARGS=--quick
ARGS ?=

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test bench bench-peers torture mutants check format setup setup-dev clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# Container images often set this variable. Unset it, so that modules are compiled once and not by each process.
run test: export PYTHONDONTWRITEBYTECODE :=
run: setup ## Start Slotwise on http://localhost:3000 with its own database
	@exec $(BIN)/slotwise serve

# Test processes. More than cores, because most tests wait for a server or a database.
JOBS ?= 4
# If on, also run the tests marked `slow` and all examples of the others, as .ci/run does.
SLOW ?= off
ALL = $(filter on yes true 1,$(SLOW))

test: export SLOTWISE_TEST_POSTGRES_BIN := $(POSTGRES)
test: export SLOTWISE_TEST_ISOLATION := $(ISOLATION)
test: export SLOTWISE_TEST_SLOW := $(if $(ALL),on,off)
test: setup-dev ## Run the test suite (about five minutes); SLOW=on: all tests, POSTGRES=<bin dir>: with that PostgreSQL
	@$(BIN)/python scripts/chromium.py
	@$(BIN)/python scripts/pgbouncer.py
	@$(BIN)/python scripts/clients.py clients $(if $(ALL),linters)
	@exec $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(ALL),,-m "not slow") $(ARGS)

bench: setup-dev ## Run the benchmarks (an hour); ARGS=--quick takes a few minutes, ARGS=--help shows all options
	@exec $(BIN)/python -m bench $(ARGS)

bench-peers: setup-dev ## Install services written with FastAPI and Express, and compare; ARGS=--quick takes a minute
	@$(BIN)/python scripts/peers.py
	@exec $(BIN)/python -m bench --only peers --json bench/results/peers.json --svg bench/results/peers.svg $(ARGS)

torture: setup-dev ## Inject faults under load and check the promises; ARGS=--short takes two minutes
	@exec $(BIN)/python -m torture run $(ARGS)

mutants: setup-dev ## Check that make torture catches wrong code: it must catch every mutant
	@exec $(BIN)/python -m torture mutants $(ARGS)

check: setup-dev ## Check format, lint, types, import contracts, SQL and commit messages
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --dialect postgres src/slotwise/sql bench/sql
	$(BIN)/python scripts/commits.py

format: setup-dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

setup: ## Create .venv with everything that the server needs
	@$(bootstrap)

setup-dev: ## Create .venv, also with the tools for tests and checks
	@$(bootstrap) --dev

clean: ## Remove .venv and caches; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

define bootstrap
command -v "$(PYTHON)" >/dev/null || { \
	echo "$(PYTHON) was not found. Slotwise needs Python 3.11 or newer:" >&2; \
	echo "  Debian, Ubuntu:  sudo apt install python3 python3-venv" >&2; \
	echo "  Fedora:          sudo dnf install python3" >&2; \
	echo "  macOS:           brew install python@3.12" >&2; \
	echo "Or choose one: make run PYTHON=/path/to/python3.12" >&2; exit 1; }; \
exec "$(PYTHON)" scripts/bootstrap.py
endef
