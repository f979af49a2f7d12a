# Everything a contributor or a first-time user needs. Only Python 3.11, make and a package index are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LINK := $(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=strict --editable .
# What mypyc made of sources stands beside them, and is linked like them.
EXTENSIONS = *.so bus/*.so service/*.so
SOURCES := setup.py $(wildcard bus/*.py service/*.py service/*/*.py service/*/assets/* ui/*.py ui/assets/*)

.DEFAULT_GOAL := help
.PHONY: help run test test-compiled prove guarantees check format interpreted bench bench-peers fuzz soak screenshots lock clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 22

run: $(VENV)/run-requirements $(VENV)/linked  ## install what is needed and start the demo
	@$(BIN)/reqscope demo

test: $(VENV)/test-requirements $(VENV)/linked $(VENV)/browser $(VENV)/servers $(VENV)/load-tools  ## install what is needed and pass the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@echo "Running the tests in three parts, side by side; what mypy and the two with a browser say comes last" >&2
	@$(call part,one,tests/e2e $(call but,$(EARLY)),$(FIRST)) & one=$$!; \
	  $(call part,two,$(EARLY),$(SECOND)) & two=$$!; \
	  $(BIN)/mypy > $(VENV)/mypy.log 2>&1 & types=$$!; \
	  $(BIN)/python -m pytest -q --ignore tests/e2e $(call but,$(FIRST) $(SECOND)); three=$$?; \
	  wait $$one; one=$$?; wait $$two; two=$$?; wait $$types; types=$$?; \
	  cat $(VENV)/one.log $(VENV)/two.log $(VENV)/mypy.log; exit $$(( types || one || two || three ))

# Three, because each of them waits a fifth of its time. What has no browser comes after what has, in a process of its
# own: Playwright leaves an event loop running.
EARLY := $(wildcard tests/e2e/test_[a-m]*.py)
FIRST := $(wildcard tests/service/test_[acde]*.py)
SECOND := tests/bus tests/docs tests/fuzz tests/guard tests/ui
but = $(addprefix --ignore ,$(1))
part = { $(BIN)/python -m pytest -q $(2); browser=$$?; $(BIN)/python -m pytest -q $(3) && exit $$browser; } > $(VENV)/$(1).log 2>&1

test-compiled: $(VENV)/test-requirements $(VENV)/linked $(VENV)/servers  ## pass the tests of what is compiled once more, compiled
	REQSCOPE_TESTS_COMPILED=1 $(BIN)/python -m pytest -q tests/bus tests/service tests/ui

prove: $(VENV)/test-requirements $(VENV)/linked $(VENV)/browser $(VENV)/servers $(VENV)/load-tools  ## pass the tests with every example and every long run, and write docs/guarantees.md
	$(call with_outcomes,REQSCOPE_TESTS_PROVE=1,--timeout 3600)

guarantees: $(VENV)/test-requirements $(VENV)/linked $(VENV)/browser $(VENV)/servers  ## pass the tests of faults and hostile input, and write docs/guarantees.md
	$(call with_outcomes,,-m guarantees)

# What came of the tests that prove a row of tests/guarantees.toml becomes a page, whatever that was.
define with_outcomes
	@rm -f $(VENV)/outcomes.jsonl
	$(1) $(BIN)/python -m pytest -q --outcomes $(VENV)/outcomes.jsonl $(2); passed=$$?; \
	  $(BIN)/python -m tests.outcomes $(VENV)/outcomes.jsonl docs/guarantees.md && exit $$passed
endef

check: $(VENV)/test-requirements $(VENV)/linked  ## lint and type-check with every checker
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --warnings

format: $(VENV)/test-requirements $(VENV)/linked  ## put the code in its house style
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

interpreted: $(VENV)/test-requirements  ## have nothing compiled, until a source changes
	@rm -rf build $(EXTENSIONS)
	@REQSCOPE_COMPILE=0 $(LINK)
	@touch $(VENV)/linked

bench: $(VENV)/test-requirements $(VENV)/linked $(VENV)/browser  ## measure every path, with ratios in one run
	$(BIN)/python -m benchmarks

bench-peers: $(PEERS)/installed  ## measure beside what others use; FILE=table.md JSON=figures.json
	$(PEERS)/bin/python -m benchmarks.peers $(FILE) $(if $(JSON),--json $(JSON)) $(FLAGS)

screenshots: $(VENV)/test-requirements $(VENV)/linked $(VENV)/browser  ## take the README's pictures of a running demo
	$(BIN)/python docs/screenshots.py

fuzz: $(VENV)/test-requirements $(VENV)/linked  ## feed parsers with anything for SECONDS=600 in all, and keep what breaks them
	@$(PIP) install atheris==3.0.0 || echo "Atheris cannot be installed here; hypothesis makes the inputs up" >&2
	nice $(BIN)/python -m tests.fuzz $$(( $(or $(SECONDS),600) / 9 )) $(TARGETS)

soak: $(VENV)/test-requirements $(VENV)/linked $(VENV)/servers  ## everything at once for MINUTES=30: nothing grows, nothing is lost uncounted
	REQSCOPE_TESTS_PROVE=1 REQSCOPE_SOAK_MINUTES=$(or $(MINUTES),30) $(BIN)/python -m pytest -q -s tests/service/test_soak.py

lock: $(VENV)/made  ## pin the newest versions that the floors allow, with hashes and without an index address
	$(PIP) install uv
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group build -o requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml

LOCK_FLAGS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links

clean:  ## remove what these commands made
	rm -rf $(VENV) $(PEERS) build ./*.egg-info $(EXTENSIONS)

# The stamp files make a second call start at once. A strict editable install links each file, so a new module
# needs a new link: that is why the sources are prerequisites.
.NOTPARALLEL:

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Reqscope needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# What the tests need holds what running needs, so whoever has the one has the other.
$(VENV)/run-requirements: $(VENV)/made requirements/run.txt
	@test -e $(VENV)/test-requirements || { \
	  echo "Installing what Reqscope needs (a minute or two, once)" >&2; \
	  $(PIP) install --require-hashes --requirement requirements/run.txt; }
	@touch $@

$(VENV)/test-requirements: $(VENV)/made requirements/dev.txt
	@echo "Installing what Reqscope and its tests need (a few minutes, once)" >&2
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@

$(VENV)/linked: pyproject.toml $(SOURCES)
	@echo "Compiling what runs for every request, where there is a C compiler (half a minute)" >&2
	@rm -rf build $(EXTENSIONS)
	@$(LINK)
	@touch $@

# Who cannot be installed is reported as unavailable, and keeps nobody else from being measured.
$(PEERS)/installed: requirements/run.txt benchmarks/peers/requirements.txt pyproject.toml $(SOURCES)
	@echo "Installing Reqscope's peers (a few minutes, once)" >&2
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/run.txt
	@$(PEERS)/bin/python -m benchmarks.peers.install
	@rm -rf build
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation \
	  --config-settings editable_mode=strict --editable .
	@touch $@

$(VENV)/browser: $(VENV)/test-requirements tests/e2e/install_browser.py tests/debian.py
	@$(BIN)/python -m tests.e2e.install_browser
	@touch $@

$(VENV)/servers: $(VENV)/test-requirements tests/service/install_servers.py tests/debian.py
	@$(BIN)/python -m tests.service.install_servers
	@touch $@

$(VENV)/load-tools: $(VENV)/test-requirements tests/e2e/install_load_tools.py tests/debian.py
	@$(BIN)/python -m tests.e2e.install_load_tools
	@touch $@
