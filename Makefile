# `make demo` and `make test` set themselves up: the virtual environment is made on first use and
# remade whenever pyproject.toml or constraints.txt changes.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo first-hour pages test test-long lint coverage bench fuzz-trials licences docs notebook clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,cluster]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m tools.demo --output demo-output

# Three newcomers walk through the README from a wheel in an empty environment.
first-hour: $(STAMP)
	$(BIN)/python -m tools.first_hour

# Every page opened in a browser: 420 px, A4, axe-core, size.
pages: $(STAMP)
	$(BIN)/python -m benchmarks pages

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 notebooks

# The tests that `make test` leaves out for their length.
test-long: $(STAMP)
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m long

# Branches that the quick tests reach; the slow ones start processes that are not followed.
coverage: $(STAMP)
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 \
	    --dist worksteal -m "not slow and not long" --cov=molgen --cov=trial_sim --cov-branch \
	    --cov-report=term-missing:skip-covered --cov-report=html

licences: $(STAMP)
	$(BIN)/python -m tools.licences --extras cluster dev

# The site of docs/, into site/. Nothing is fetched while it is built or read.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html; with search: python -m http.server -d site"

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Shapes of trials that a fit must give back: events, follow-up, associations, effects. Killed, it goes on;
# `rm trial-shapes.jsonl` begins anew.
fuzz-trials: $(STAMP)
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m benchmarks trial_shapes --n 2000 --jobs 2 --journal trial-shapes.jsonl

notebook: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[notebook]"
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf .venv build dist site htmlcov demo-output .pytest_cache .ruff_cache .mypy_cache
