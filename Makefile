# Everything runs in .venv, made from pyproject.toml and constraints.txt the first time and when these change.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint coverage fuzz results bench setup clean

demo: .venv/ready
	$(BIN)/hrseg demo --output demo

test: lint
	$(BIN)/pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Lines that no test runs, of the core and of what the Slicer modules share.
coverage: .venv/ready
	$(BIN)/pytest --cov=hrseg --cov=HighResSegmentationLib --cov-report=term-missing:skip-covered

# New examples for the readers of files, models and messages, for some minutes; failures are printed with their seed.
fuzz: .venv/ready
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest Testing/unit/fuzz

# The tables of docs/ and the model cards, from the stored metrics of single cases.
results: .venv/ready
	$(BIN)/python benchmarks/results.py render
	$(BIN)/python benchmarks/results.py cards

# An hour or more on a quiet machine; writes docs/benchmarks.md.
bench: .venv/ready
	$(BIN)/python benchmarks/growth.py

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt HighResCore/Resources/HighResSegmentation-requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv demo
