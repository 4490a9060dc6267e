# Everything a contributor or a runner calls. Each target brings what it needs; `make test` is what CI runs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
TORCH := torch==2.13.0
# More words for pip where torch is concerned, such as an index of builds for your hardware.
TORCH_ARGS ?=
# Twice quiet: errors only.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
# Two workers with one thread each: more threads than cores make torch slower. Each begins with one half of the files, so
# that what the tests of a file share is made once, and takes from the other's when it is done.
PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo studio test unit check bench docs screenshots clean

help:
	@echo "make install | demo | studio | test | unit | check | bench | docs | screenshots | clean"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Softprompt needs Python 3.11 or newer; name one: make install PYTHON=/path/to/python" >&2; exit 1; }
	@$(BIN)/python -c "from importlib.metadata import version as v; import sys; \
		sys.exit(v('torch').split('+')[0] != '$(TORCH)'.split('==')[1])" 2>/dev/null \
		|| $(PIP) $(TORCH_ARGS) -c constraints.txt $(TORCH)
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/softprompt demo

studio: install
	@$(BIN)/softprompt up --sample

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(PYTEST) tests --ignore=tests/browser
	@$(BIN)/python scripts/browser.py > /dev/null
	$(PYTEST) tests/browser

# What needs no server, database or other process: under a minute.
unit: install
	$(PYTEST) tests/data tests/engine tests/ui tests/test_*.py

bench: install
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

docs: install
	@for file in scripts/docs_*.py; do test ! -e "$$file" || $(BIN)/python "$$file" || exit 1; done

screenshots: install
	@$(BIN)/python scripts/browser.py > /dev/null
	$(BIN)/python scripts/screenshots.py

clean:
	rm -rf build dist out demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
