# From nothing but Python 3.11+, pip and make: `make train`, `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test slow evidence lint format docs bench lock clean

train: .venv
	$(BIN)/python -m experiments.dqn --seeds 4 --steps 110000 --eval-every 4000 --eval-episodes 100 $(if $(OUT),--out $(OUT))

test: .venv lint
	$(BIN)/python -m pytest -n 2 -m "not slow" --durations=20 tests

slow: .venv
	$(BIN)/python -m pytest -m slow tests

# Makes the runs of a system's claims again and compares them with those recorded: make evidence SYSTEM=c51
evidence: .venv
	$(BIN)/python -m experiments.evidence reproduce $(SYSTEM)

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site, in site/. A broken link, or a name of the reference that is not found, ends it; the tests build it too.
docs: .venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

.venv: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'bellmax needs Python 3.11 or newer, this is ' + sys.version.split()[0])"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch .venv

# Needs uv. Renews the lock, without any registry's address.
lock:
	uv pip compile --quiet pyproject.toml --extra dev --extra docs --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url -o requirements.lock

bench: .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.lock
	$(BIN)/python -m experiments.benchmark

clean:
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
