# `make demo` and `make test` set themselves up: the virtual environment is made on first use and
# remade whenever pyproject.toml or constraints.txt changes.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint bench notebook docs clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,cluster]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m benchmarks.demo --output demo-output

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 notebooks

bench: $(STAMP)
	$(BIN)/python -m benchmarks

notebook: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[notebook]"
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf .venv build dist demo-output .pytest_cache .ruff_cache .mypy_cache
