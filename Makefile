# What a person or a machine does with this project. `make` alone lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Looked up only when a virtual environment is made. Another one: make run PYTHON=/path/to/python3.12
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
# A stamp carries the checksum of what it installed: a changed lock is installed, an old one costs nothing.
sum = $(firstword $(shell cksum $(1)))
RUNTIME := .venv/runtime-$(call sum,requirements.txt)
DEVELOPMENT := .venv/development-$(call sum,requirements-dev.txt)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
# DEBUG=0 keeps a developer's .env out of the tests, and empty keys those of the shell: no test calls a real provider.
# Every process compiles the tests anew where bytecode is not kept.
TESTS := DEBUG=0 SECRET_KEY=for-tests-only-for-tests-only-for-tests-only-for-tests-only \
	DEEPSEEK_API_KEY= ZAI_API_KEY= OPENAI_API_KEY= PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -rs
ARGS ?=
# Processes that run tests: auto is three for two cores, 0 is none but pytest's own.
WORKERS ?= auto
# One order and one seed, so that a commit has one verdict. `make test ORDER=` shuffles and draws, and prints the seed.
ORDER ?= --randomly-dont-reorganize --randomly-seed=1 --hypothesis-seed=1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/'

run: $(RUNTIME) ## start the server on 127.0.0.1:$PORT (8000), with a development user and the mock provider until a key is set
	@test "$${DEBUG:-1}" = 0 || $(BIN)/python -m promptcraft.development_env
	@DEBUG="$${DEBUG:-1}" exec $(BIN)/python manage.py serve --prepare

user: $(RUNTIME) ## make a user; its name and more is ARGS, as in: make user ARGS="ann --staff"
	@$(BIN)/python manage.py create_user $(ARGS)

test: $(DEVELOPMENT) ## run the tests; ARGS are pytest's, as in: make test ARGS="-k health"; `make check` runs tests/project
	@$(TESTS) -n $(WORKERS) $(ORDER) --ignore=tests/project $(ARGS)

test-unit: $(DEVELOPMENT) ## run those that need no database, port or other process
	@$(TESTS) -n $(WORKERS) $(ORDER) --ignore=tests/project -m 'not outside' $(ARGS)

check: $(DEVELOPMENT) ## lint, format, types, layers, migrations, deploy check, locks and documents against the code
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check --quiet .
	DEBUG=1 $(BIN)/python -m mypy
	$(BIN)/lint-imports
	DEBUG=1 DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	@echo 'manage.py check --deploy, with a production environment'
	@DEBUG=0 ALLOWED_HOSTS=example.org SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))')" \
		$(BIN)/python manage.py check --deploy --fail-level WARNING
	@echo 'the tests of papers and rules'
	@$(TESTS) $(ORDER) tests/project

bench: $(RUNTIME) ## measure the server beside nginx, as a table and JSON; ARGS=--quick takes about a minute, see docs/performance.md
	@$(BIN)/python -m benchmarks $(ARGS)

attack: $(RUNTIME) ## attack a server of its own, or ARGS="--url http://127.0.0.1:8000 --user …"; exit 1 if something is broken
	@$(BIN)/python -m tests.attack $(ARGS)

lock: $(DEVELOPMENT) ## compile the two requirements files from pyproject.toml; ARGS=--upgrade takes newer versions
	$(COMPILE) $(ARGS) --output-file requirements.txt pyproject.toml
	$(COMPILE) $(ARGS) --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

format: $(DEVELOPMENT) ## format the code and apply the linter's safe fixes
	$(BIN)/python -m ruff check --fix-only --quiet .
	$(BIN)/python -m ruff format --quiet .

clean: ## remove the virtual environment and every cache; the database and .env stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@{ test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; } || { \
		echo 'PromptCraft needs Python 3.11 or newer: install it, or name it: make run PYTHON=/path/to/python3.11' >&2; exit 1; }
	@echo 'making .venv'
	@"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; exit 1; }

$(RUNTIME): | $(BIN)/python
	@echo 'installing requirements.txt into .venv'
	@$(INSTALL) -r requirements.txt
	@rm -f .venv/runtime-*; touch $@

$(DEVELOPMENT): | $(BIN)/python
	@echo 'installing requirements-dev.txt into .venv'
	@$(INSTALL) -r requirements-dev.txt
	@rm -f .venv/development-* .venv/runtime-*; touch $@ $(RUNTIME)

.PHONY: help run user test test-unit check bench attack lock format clean
