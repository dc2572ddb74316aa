# `make run` and `make test` set up what they need in .venv, once, and again when a build file or source changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILED := $(wildcard csrc/*/*.cpp csrc/*/*.hpp csrc/*/*.h csrc/*/*.inl csrc/*/*/*.hpp csrc/*/*/*.h csrc/*/*/*.def \
	nssr/engine/*.pyx nssr/engine/*.pxd)
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Seconds of fuzzing, and where what it finds and learns is kept.
FUZZ_SECONDS ?= 60
FUZZ := build/fuzz

SERVE ?= --data-dir nssr-data

.PHONY: run serve test lint bench fuzz opcodes clean

run: $(READY)
	$(BIN)/python -m nssr.main

serve: $(READY)
	$(BIN)/nssr serve $(SERVE)

test: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: $(READY)
	$(BIN)/python -m benchmarks.validate

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# The C interface under libFuzzer, with the address and undefined behaviour sanitizers. Needs clang.
fuzz: $(VENV)/.packages
	@command -v clang++ >/dev/null || { echo 'make fuzz needs clang++ with libFuzzer (Debian: clang libclang-rt-14-dev)' >&2; exit 1; }
	$(BIN)/cmake -S . -B $(FUZZ) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DCMAKE_CXX_COMPILER=clang++ \
		-DCMAKE_BUILD_TYPE=Fuzz -DNSSR_PYTHON=OFF -DNSSR_FUZZ=ON -DNSSR_TARGETS=avx2
	$(BIN)/cmake --build $(FUZZ)
	mkdir -p $(FUZZ)/corpus
	NSSR_SEEDS=$(FUZZ)/corpus $(FUZZ)/fuzz_capi
	$(FUZZ)/fuzz_capi -max_total_time=$(FUZZ_SECONDS) -max_len=2048 -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix=$(FUZZ)/ $(FUZZ)/corpus

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
