# Everything a contributor or a first-time user needs. Only Python 3.11, make and a package index are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(wildcard bus/*.py service/*.py ui/*.py ui/assets/*)

.DEFAULT_GOAL := help
.PHONY: help run test check format bench lock clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

run: $(VENV)/run.done  ## install what is needed and start the demo
	@$(BIN)/reqscope demo

test: $(VENV)/dev.done $(VENV)/browser.done  ## install what is needed and pass the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

check: $(VENV)/dev.done  ## lint and type-check with every checker
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --warnings

format: $(VENV)/dev.done  ## put the code in its house style
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/dev.done $(VENV)/browser.done  ## measure every path, with ratios in one run
	$(BIN)/python -m benchmarks

lock: $(VENV)/dev.done  ## pin the newest versions that the floors allow, with hashes and without an index address
	$(PIP) install uv
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group build -o requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml

LOCK_FLAGS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links

clean:  ## remove what these commands made
	rm -rf $(VENV) build ./*.egg-info

# The stamp files make a second call start at once. The list of modules is a prerequisite because a strict
# editable install links each file: a new module needs a new link.
$(VENV)/pip.done:
	@echo "Making a virtual environment in $(VENV)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Reqscope needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.done: $(VENV)/pip.done requirements/run.txt pyproject.toml
	@test -e $(VENV)/dev.done || { echo "Installing Reqscope (a minute or two, once)" >&2; \
	  $(PIP) install --require-hashes -r requirements/run.txt; }
	@$(MAKE) --no-print-directory $(VENV)/linked.done
	@touch $@

$(VENV)/dev.done: $(VENV)/pip.done requirements/dev.txt pyproject.toml
	@echo "Installing Reqscope and what its tests need (a few minutes, once)" >&2
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(MAKE) --no-print-directory $(VENV)/linked.done
	@touch $@

$(VENV)/linked.done: pyproject.toml $(SOURCES)
	@rm -rf build
	@$(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=strict --editable .
	@touch $@

$(VENV)/browser.done: $(VENV)/dev.done
	@$(BIN)/python tests/e2e/install_browser.py
	@touch $@
