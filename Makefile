# One command per job; `make help` lists them.
PYTHON ?= python3
TEXT ?= The quick brown fox jumps over the lazy dog.
OUT ?= speech.wav
VENV := .venv
BIN := $(VENV)/bin
CLIENT := clients/ts
CLIENT_PACKAGES := $(CLIENT)/node_modules/.package-lock.json
WEB := webui
WEB_PACKAGES := $(WEB)/node_modules/.package-lock.json
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public $(WEB)/index.html $(CLIENT)/src -type f 2> /dev/null)
HAS_NODE := command -v npm > /dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Spinning OpenMP threads collapse on a busy machine; sleeping at once costs each small operation
# 40 us. A spin of 10 us avoids both (docs/experiments.md).
export OMP_WAIT_POLICY ?= ACTIVE
export GOMP_SPINCOUNT ?= 1000

.DEFAULT_GOAL := help
.PHONY: help run say setup test test-gpu check lint types imports fix protos protos-check evaluate clean \
	client client-test client-check client-generate web web-check has-node

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: $(VENV)/.serve ## install what is missing and run the whole stack until Ctrl-C
	@if $(HAS_NODE); then $(MAKE) --no-print-directory web || echo "The web page could not be built; everything else runs"; \
	else echo "Without a web page: building it needs Node 20 or newer, with npm"; fi
	@$(BIN)/chatterbox up

has-node: # whether the web page and its client can be built here
	@$(HAS_NODE)

web: $(WEB)/dist/index.html ## build the web page, which `make run` serves

say: $(VENV)/.serve ## speak TEXT into OUT through a running or a temporary server
	@$(BIN)/chatterbox say -o "$$OUT" -- "$$TEXT"
say: export TEXT := $(TEXT)
say: export OUT := $(OUT)

setup: $(VENV)/.serve ## only prepare the environment

test: $(VENV)/.dev ## run the tests
	@$(BIN)/python -m pytest

test-gpu: $(VENV)/.dev ## run what needs a GPU: recorded steps against plain ones
	@$(BIN)/python -m pytest -m gpu

check: lint types imports client-check web-check test ## lint, types, import rules, tests: what CI runs

lint: $(VENV)/.dev ## ruff and buf
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && cd protos && ../$(BIN)/buf lint

types: $(VENV)/.dev ## mypy --strict
	@$(BIN)/mypy

imports: $(VENV)/.dev ## the layers of docs/architecture.md
	@$(BIN)/lint-imports

fix: $(VENV)/.dev ## format, and mend what can be mended
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . && cd protos && ../$(BIN)/buf format -w

protos: $(VENV)/.dev ## regenerate the Python of the contract
	@$(BIN)/python protos/generate.py

protos-check: $(VENV)/.dev ## fail if the committed Python is not what the contract generates
	@$(BIN)/python protos/generate.py --check

evaluate: $(VENV)/.dev ## word errors, speaker likeness and speed of the bundled voice
	@$(BIN)/chatterbox evaluate

web-check: $(WEB)/dist/index.html ## its lint, its types, its tests, its size
	@cd $(WEB) && npm run --silent lint && npm run --silent types && npm run --silent test && npm run --silent bundle-size

client: $(CLIENT_PACKAGES) ## build the TypeScript client
	@cd $(CLIENT) && npm run --silent build

client-test: $(CLIENT_PACKAGES) ## test it without a server; `make test` does with one
	@cd $(CLIENT) && npm run --silent test

client-check: $(VENV)/.dev $(CLIENT_PACKAGES) ## its lint, its types, its generated code
	@cd $(CLIENT) && npm run --silent lint && npm run --silent types && npm run --silent generate -- --check

client-generate: $(VENV)/.dev $(CLIENT_PACKAGES) ## regenerate the TypeScript of the contract
	@cd $(CLIENT) && npm run --silent generate

clean: ## remove the environment and every cache
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
		$(CLIENT)/node_modules $(CLIENT)/dist $(WEB)/node_modules $(WEB)/dist

$(VENV)/.venv:
	@echo "Creating the environment in $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Chatterbox needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve: pyproject.toml $(VENV)/.venv
	@$(PIP) -e '.[engine,edge,tracing]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.venv
	@echo "Installing what the tests need ..."
	@$(PIP) -e '.[engine,edge,tracing,evaluate,dev]'
	@touch $@ $(VENV)/.serve

$(CLIENT_PACKAGES): $(CLIENT)/package-lock.json
	@command -v npm > /dev/null || \
		{ echo "The TypeScript client needs Node 20 or newer, with npm"; exit 1; }
	@cd $(CLIENT) && npm ci --loglevel=error
	@touch $@

$(WEB_PACKAGES): $(WEB)/package-lock.json $(CLIENT_PACKAGES)
	@cd $(WEB) && npm ci --loglevel=error
	@touch $@

$(WEB)/dist/index.html: $(WEB_PACKAGES) $(WEB_SOURCES)
	@cd $(CLIENT) && npm run --silent build
	@cd $(WEB) && npm run --silent build -- --logLevel warn
	@touch $@
