# `make demo` and `make test` do everything on a fresh machine; nothing else has to be installed first but Python 3.11 or later.
#
# TORCH_INDEX, if set, is where torch alone comes from, so that a user can choose the build without CUDA:
#     make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
OUT ?= runs/demo

.PHONY: setup demo test test-all check lint bench recipes dist docs clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,demo]'
	touch $@

demo: setup
	$(BIN)/seq2x demo --out $(OUT)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two workers share the machine, one thread each; what forks, kills or measures memory runs by itself.
test: lint
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 COVERAGE_FILE=.coverage.many $(BIN)/python -m pytest -q -m "not slow and not alone" -n 2 --dist loadfile --cov --cov-report=
	OMP_NUM_THREADS=1 COVERAGE_FILE=.coverage.alone $(BIN)/python -m pytest -q -m "alone and not slow" --cov --cov-report=
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered --fail-under=90
	$(BIN)/coverage report --include="src/seq2x/run.py,src/seq2x/search/*" --fail-under=100
	$(BIN)/python tests/wheel.py

test-all: test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow" -n 2 --dist loadfile

check: lint

bench: setup
	$(BIN)/python -m benchmarks

recipes: setup
	$(BIN)/python recipes/run.py --list

dist: setup
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist .

docs: setup
	$(BIN)/python -m pytest -q tests/docs

clean:
	rm -rf .venv build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
