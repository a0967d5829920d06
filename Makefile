# make train   sets up .venv, then meta-trains, evaluates and exports a learned optimizer
# make test    sets up .venv, then runs the tests
# make lint    sets up .venv, then ruff and pyright
#
# make train CONFIG=recipes/other.toml FLAGS="--workers 4" trains something else.

PYTHON ?= python3
CONFIG ?= recipes/digits.toml
FLAGS ?=
PROCESSES ?= 2
BIN := .venv/bin

.PHONY: train test lint clean

train: .venv
	$(BIN)/metaopt train --config $(CONFIG) $(FLAGS)
	$(BIN)/metaopt evaluate runs/latest
	$(BIN)/metaopt export runs/latest --out runs/latest/export

# Two processes: most of the time is compiling, which takes one core. Should a process crash or hang,
# its test fails, and another process goes on with the rest.
test: .venv
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadgroup --timeout-method thread

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Installs exactly what requirements.lock says, and again only when it or pyproject.toml changes. The
# stamp is written last, so an installation that was broken off is done again.
.venv: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "metaopt needs Python 3.11 or later; choose one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
