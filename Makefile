# Python >= 3.11 to make .venv with; an older one looks for a newer one beside it.
PYTHON ?= python3
# The bin directory of a system PostgreSQL to test on, instead of the embedded one.
POSTGRES ?= $(SLOTWISE_TEST_POSTGRES_BIN)
# The default_transaction_isolation of the databases to test on, such as serializable.
ISOLATION ?= $(SLOTWISE_TEST_ISOLATION)
# More arguments for pytest or the benchmarks, as in: make test ARGS="-k booking", make bench ARGS=--quick
ARGS ?=

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test bench torture mutants check format setup setup-dev clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: setup ## Start Slotwise on http://localhost:3000, with a database of its own
	@exec $(BIN)/slotwise serve

# Processes that run tests at the same time: most tests wait for a server or a database.
JOBS ?= 4
# on runs the tests marked `slow` too, and all examples of the others, as .ci/run does.
SLOW ?= off
ALL = $(filter on yes true 1,$(SLOW))

test: export SLOTWISE_TEST_POSTGRES_BIN := $(POSTGRES)
test: export SLOTWISE_TEST_ISOLATION := $(ISOLATION)
test: export SLOTWISE_TEST_SLOW := $(if $(ALL),on,off)
# Modules are compiled once and not by each of the processes, as many images for containers would have it.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup-dev ## Run the test suite in four minutes; SLOW=on all of it, POSTGRES=<bin dir> on that PostgreSQL
	@$(BIN)/python scripts/chromium.py
	@$(BIN)/python scripts/pgbouncer.py
	@exec $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(ALL),,-m "not slow") $(ARGS)

bench: setup-dev ## Run the benchmarks; ARGS=--quick in a few minutes, ARGS=--help for more
	@exec $(BIN)/python -m bench $(ARGS)

torture: setup-dev ## Break things around a server under load and judge it; ARGS=--short in two minutes, ARGS=--help for more
	@exec $(BIN)/python -m torture run $(ARGS)

mutants: setup-dev ## Show that make torture notices wrong code: it must catch every mutant
	@exec $(BIN)/python -m torture mutants $(ARGS)

check: setup-dev ## Check format, lint, types, import contracts, SQL and commit messages
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --dialect postgres src/slotwise/sql bench/sql
	$(BIN)/python scripts/commits.py

format: setup-dev ## Format the code and mend what lint can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

setup: ## Make .venv with all that the server needs
	@$(bootstrap)

setup-dev: ## Make .venv with the tools for tests and checks too
	@$(bootstrap) --dev

clean: ## Remove .venv and caches; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

define bootstrap
command -v "$(PYTHON)" >/dev/null || { \
	echo "$(PYTHON) is not here. Slotwise needs Python 3.11 or newer:" >&2; \
	echo "  Debian, Ubuntu:  sudo apt install python3 python3-venv" >&2; \
	echo "  Fedora:          sudo dnf install python3" >&2; \
	echo "  macOS:           brew install python@3.12" >&2; \
	echo "or name one: make run PYTHON=/path/to/python3.12" >&2; exit 1; }; \
exec "$(PYTHON)" scripts/bootstrap.py
endef
