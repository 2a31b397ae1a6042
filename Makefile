# `make demo` and `make test` do everything on a fresh machine; nothing else has to be installed first but Python 3.11 or later.
#
# TORCH_INDEX, if set, is where torch alone comes from, so that a user can choose the build without CUDA:
#     make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
OUT ?= runs/demo

unexport PYTHONDONTWRITEBYTECODE # each start of pytest would read and compile all tests anew

VERSIONS ?= 3.11 3.12 3.13 3.14

.PHONY: setup demo test test-all check lint wheel bench recipes dist dry-run docs clean

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

wheel: setup
	$(BIN)/python tests/wheel.py

# Two workers share the machine, one thread each; what kills or measures time (tests/alone) runs by itself, afterwards.
test: setup
	$(MAKE) --output-sync=target -j2 lint wheel
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadfile --cov --cov-report= --ignore=tests/alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" tests/alone
	$(BIN)/coverage report --skip-covered --fail-under=90
	$(BIN)/coverage report --include="src/seq2x/run.py,src/seq2x/search/*" --fail-under=100

test-all: test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow" -n 2 --dist worksteal --ignore=tests/alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow" tests/alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "hypothesis and not slow" -n 2 --hypothesis-profile=thorough --ignore=tests/alone

check: lint

bench: setup
	$(BIN)/python -m benchmarks

recipes: setup
	$(BIN)/python recipes/run.py --list

dist: setup
	rm -rf dist build
	$(BIN)/python -m build --quiet --outdir dist .

# Needs the network, so it is no part of `make test`. Nothing is installed or run: it says whether pip finds a wheel of every
# dependency for other versions of Python, no more.
dry-run: setup
	set -e; for version in $(VERSIONS); do \
	  $(BIN)/python -m pip install --quiet --dry-run --ignore-installed --target build/dry-run \
	    --only-binary=:all: --python-version $$version '.[demo]'; \
	  echo "Python $$version: pip finds a wheel of every dependency (a dry run: nothing was installed or tested)"; \
	done

docs: setup
	$(BIN)/python -m pytest -q tests/docs

clean:
	rm -rf .venv build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
