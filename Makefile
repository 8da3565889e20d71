# Every target sets up what it needs; PYTHON chooses the interpreter (3.10 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test test-all test-stack apps lint bench docs clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group test --group lint --group docs
	touch $@

demo: $(VENV)/ready
	$(BIN)/clew demo

test: $(VENV)/ready
	$(PYTEST) -n 2 -m 'not slow and not stack and not apps'

test-all: $(VENV)/ready
	$(PYTEST) -n 2 -m 'not stack and not apps'

# Real servers, built with Go once into ~/.cache/clew-stack (about 20 minutes on two cores).
test-stack: $(VENV)/ready
	$(BIN)/python tests/stack/stack_build.py
	$(PYTEST) -m stack tests/stack

# Applications of other people's, each in an environment of its own under ~/.cache/clew-apps.
apps: $(VENV)/ready
	$(PYTEST) -m apps -p no:randomly tests/apps

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/ready
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.instruments
	$(BIN)/python -m tests.bench.reader

docs: $(VENV)/ready
	$(BIN)/sphinx-build -nW --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache
