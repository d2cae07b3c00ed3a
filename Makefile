# make tutorial      the seven approaches on the bundled classrooms, printed, and tutorial.html
# make test          every test but the browser's
# make test-browser  the reports in a headless Chromium; where there is none it says so
# make lint          style, types, and the one-way layers
# make bench         speed, side by side with other packages
# make docs          the API reference in docs/_build
#
# Each target makes the virtual environment it needs in $(VENV); nothing needs root.
# Another Python: make test PYTHON=/path/to/python3.12

VENV ?= .venv
BIN := $(VENV)/bin
PYTHONS := $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14 python)
DOCUMENTED := henderson henderson.fit henderson.seven henderson.errors henderson.covariance.base
CHROMIUM ?= $(firstword $(shell command -v chromium; command -v chromium-browser; \
                                command -v google-chrome; true))
SOURCES := $(shell find src -type f ! -name '*.pyc')
BUILD := pyproject.toml CMakeLists.txt README.md

.DELETE_ON_ERROR:
.PHONY: tutorial test test-browser lint bench docs help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 9

tutorial: $(VENV)/.installed-base
	$(BIN)/henderson tutorial --report tutorial.html

# One BLAS thread: the matrices are small, and threads that wait for each other cost more.
test: $(VENV)/.installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest

test-browser: $(if $(CHROMIUM),$(VENV)/.installed-browser)
ifneq ($(CHROMIUM),)
	OPENBLAS_NUM_THREADS=1 CHROMIUM=$(CHROMIUM) $(BIN)/python -m pytest tests/browser
else
	@echo "No Chromium, so the reports were not looked at. Install one package: apt install chromium"
endif

lint: $(VENV)/.tools-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/.installed-docs
	$(BIN)/pdoc --docformat numpy --math --output-directory docs/_build $(DOCUMENTED)

# The package itself, with an extra unless it is "base": again whenever a source file changes.
$(VENV)/.installed-%: $(BUILD) $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet ".$(if $(filter-out base,$*),[$*])"
	@touch $@

# Tools that read the working tree, with the package's dependencies for the type checker.
$(VENV)/.tools-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet ".[$*]"
	@touch $@

# The first Python >= 3.11 that can make virtual environments. Debian and Ubuntu ship venv apart
# from Python: name the package to install. An environment whose Python is gone is made anew: the
# links that lead nowhere go, everything else stays.
$(BIN)/python:
	@old=; bare=; \
	for python in $(PYTHONS); do \
	  command -v "$$python" >/dev/null || continue; \
	  if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    old=$${old:-$$python}; \
	  elif ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    bare=$${bare:-$$python}; \
	  else \
	    echo "Making $(VENV) with $$python"; \
	    for link in "$(BIN)"/python*; do [ -e "$$link" ] || rm -f "$$link"; done; \
	    exec "$$python" -m venv "$(VENV)"; \
	  fi; \
	done; \
	if [ -n "$$bare" ]; then package="$$(basename "$$bare")-venv"; \
	  echo "$$bare has no venv module. Install one package: apt install $$package" >&2; \
	elif [ -n "$$old" ]; then \
	  echo "henderson needs Python 3.11 or newer; $$old is older or does not run." >&2; \
	  echo "Install one package: apt install python3.11-venv; or name one: make PYTHON=..." >&2; \
	else \
	  echo "Found none of: $(PYTHONS). Install one package: apt install python3-venv" >&2; \
	fi; \
	exit 1
