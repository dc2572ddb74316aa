# `make run` and `make test` set up what they need in .venv, once, and again when a build file or source changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILED := $(wildcard csrc/*/*.cpp csrc/*/*.hpp csrc/*/*.h csrc/*/*.inl csrc/*/*/*.hpp csrc/*/*/*.h csrc/*/*/*.def \
	nssr/engine/*.pyx nssr/engine/*.pxd)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test lint bench opcodes clean

run: $(READY)
	$(BIN)/python -m nssr.main

test: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest

bench: $(READY)
	$(BIN)/python -m benchmarks.validate

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

opcodes:
	$(PYTHON) -m nssr.primitives > csrc/include/nssr/opcodes.def

$(VENV)/.packages: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "NSSR needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt setuptools wheel cython pybind11 cmake ninja numpy
	touch $@

$(READY): $(VENV)/.packages setup.py CMakeLists.txt $(COMPILED)
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[test]'
	touch $@

clean:
	rm -rf build dist *.egg-info nssr/engine/*.so nssr/engine/*.c
