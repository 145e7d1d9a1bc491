# trio-chat. `make` alone lists what there is. Needs python3 (3.11 or newer) with venv.

PYTHON ?= python3
PORT ?= 4000
BLOCK_DURATION ?= 60
TIMEOUT ?= 600
SEEDS ?= 200
SECONDS ?= 600
TARGET ?= all
MINUTES ?= 10
FILES ?=
PEERS := ngircd inspircd nats-server mosquitto prosody ejabberd

BIN := .venv/bin
SETUP := .venv/ready
SETUP_DEV := .venv/ready-dev
SETUP_FUZZ := .venv/ready-fuzz

.PHONY: help setup setup-dev setup-fuzz run run-server run-client stop test check simulate mutants fuzz abuse soak report pictures bench bench-full bench-peers fmt clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## Make the environment from locked versions

$(SETUP): .lock/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "trio-chat needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv (once)..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

setup-dev: $(SETUP_DEV) ## The same, with what tests and checks need

$(SETUP_DEV): $(SETUP) .lock/requirements-dev.txt
	@echo "Adding the tools for tests and checks (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .lock/requirements-dev.txt
	@touch $@

setup-fuzz: $(SETUP_FUZZ) ## The same, with what `make fuzz` needs

$(SETUP_FUZZ): $(SETUP_DEV) .lock/requirements-fuzz.txt
	@echo "Adding the fuzzer (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .lock/requirements-fuzz.txt
	@touch $@

run: $(SETUP) ## Chat: start a server on PORT unless one answers there, and open a client
	@# How a chat ends, such as by a lost connection, is no error of make.
	@$(BIN)/python -m trio_chat run $(PORT) $(BLOCK_DURATION) $(TIMEOUT) || test $$? -ne 2

stop: $(SETUP) ## Stop the server that `make run` started on PORT
	@$(BIN)/python -m trio_chat stop $(PORT)

run-server: $(SETUP) ## Run a server on PORT in this terminal, telling what happens
	@$(BIN)/python -m trio_chat.server $(PORT) $(BLOCK_DURATION) $(TIMEOUT) --debug

run-client: $(SETUP) ## Run a client for a server on this machine's PORT
	@$(BIN)/python -m trio_chat.client 127.0.0.1 $(PORT) || test $$? -ne 2

test: $(SETUP_DEV) ## Run all tests
	@$(BIN)/python -m pytest -n auto -q

check: $(SETUP_DEV) ## Format, lint, types, layers, tests, coverage: what must pass
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -n auto -q --cov=trio_chat --cov-report=
	@$(BIN)/python -m coverage report --include='trio_chat/core/*,trio_chat/protocol/*,trio_chat/swarm/*' --fail-under=95

simulate: $(SETUP_DEV) ## Run the whole system in virtual time, by SEEDS seeds (see docs/testing.md)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

mutants: $(SETUP_DEV) ## Put deliberate bugs into copies of the program; the simulation must find each
	@$(BIN)/python -m tests.mutants

fuzz: $(SETUP_FUZZ) ## Fuzz TARGET (all of them) for SECONDS each
	@$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)

abuse: $(SETUP) ## Measure how abusive clients slow two honest users
	@$(BIN)/python -m benchmarks.abuse

soak: $(SETUP) ## Let 200 clients chat for MINUTES, and kill them and the server at random
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

report: $(SETUP) ## Make docs/report.pdf, which has at most 3 pages
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .lock/requirements-report.txt
	@$(BIN)/python docs/make_report.py

pictures: $(SETUP_DEV) ## Make the pictures in the README anew, of real sessions
	@$(BIN)/python -m docs.make_pictures

bench: $(SETUP) ## Compare with other servers that are installed, in some minutes
	@$(BIN)/python -m benchmarks.compare

bench-full: $(SETUP) ## The same at length, and how files move (options for that: FILES)
	@$(BIN)/python -m benchmarks.compare --full
	@$(BIN)/python -m benchmarks.growth
	@$(BIN)/python -m benchmarks.files $(FILES)

bench-peers: ## Install Debian's packages of the servers that we are compared with
	apt-get update
	apt-get install --yes --no-install-recommends $(PEERS) aria2
	@# They are started by the benchmark only, each with a configuration of its own.
	-systemctl disable --now $(PEERS)

fmt: $(SETUP_DEV) ## Format the code, and mend what the linter can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

clean: ## Remove the environment and everything that was made
	@rm -rf .venv .fuzz docs/report.pdf build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
