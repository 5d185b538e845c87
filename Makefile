# Two commands for a fresh machine: `make demo` (a real photo to depth and a point cloud) and
# `make test` (format, lint, types, tests). Both build .venv from constraints.txt when needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := constraints.txt pyproject.toml
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt

.PHONY: demo test check clean

demo: $(VENV)/installed-demo  ## predict real photos with the embedded model, write to out/
	$(BIN)/python scripts/demo.py

test: $(VENV)/installed-dev  ## everything CI runs
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

check:  ## the same in the current environment
	scripts/check

clean:  ## remove the environment and caches, keep out/ and runs/
	rm -rf $(VENV) .ruff_cache .mypy_cache .pytest_cache build

# A stamp is newer than the pins it was installed from; otherwise pip runs again.
$(VENV)/installed-demo: $(PINS) | $(BIN)/python
	$(INSTALL) -e '.[demo,train]'
	@touch $@

$(VENV)/installed-dev: $(PINS) | $(BIN)/python
	$(INSTALL) -e '.[dev,train]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "nearfar needs Python 3.11 or newer: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
