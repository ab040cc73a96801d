# Everloop: every target that people and CI call. `make help` lists them.
# `make demo` and `make test` are the two that the README promises on a fresh machine.

CARGO ?= cargo
VALKEY := target/tools/valkey-server
ARGS ?=

.PHONY: help demo test check fmt build bench bench-cluster bench-race update clean tools cluster cluster-down image

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: ## Build, then 500 orders through three workers while a worker and the service are killed (ARGS="--orders 50")
	$(CARGO) build --locked --release
	target/release/everloop demo $(ARGS)

test: tools ## Everything that must hold, with real Redis, Valkey, Kubernetes, containers and processes; installs what it needs
	kube=$$(scripts/build-test-cluster) && coredns=$$(scripts/build-coredns) && helm=$$(scripts/build-helm) && keda=$$(scripts/build-keda) && \
	pause=$$(scripts/build-image pause) && redis=$$(scripts/build-image redis) && everloop=$$(scripts/build-image everloop) && \
	EVERLOOP_TEST_KUBE=$$kube EVERLOOP_TEST_COREDNS=$$coredns EVERLOOP_TEST_HELM=$$helm EVERLOOP_TEST_KEDA=$$keda EVERLOOP_TEST_IMAGES="$$pause $$redis $$everloop" \
	EVERLOOP_TEST_VALKEY=$(CURDIR)/$(VALKEY) $(CARGO) test --locked -- --test-threads=2

cluster: tools ## A cluster with a node on this machine, with the image, to be kept (root); prints how to use it
	@scripts/cluster up

cluster-down: ## End it
	@scripts/cluster down

image: ## The image, without a registry: prints where the archive is
	@scripts/build-image everloop

check: ## Formatting, lints and the ban lists
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	# Advisories need a database from the network: `cargo-deny check advisories` where there is one.
	cargo-deny --locked check bans licenses sources

fmt: ## Format the code
	$(CARGO) fmt

build: ## The program, optimised: target/release/everloop
	$(CARGO) build --locked --release

bench: tools ## Measure; a table, and target/bench/bench.json (ARGS=quick, cost, scale or "soak MINUTES RUNS")
	EVERLOOP_TEST_VALKEY=$(CURDIR)/$(VALKEY) $(CARGO) bench --locked --bench durable -- $(ARGS)

bench-cluster: ## What the operator costs, likewise (ARGS=quick); target/bench/cluster.json
	EVERLOOP_TEST_KUBE=$$(scripts/build-test-cluster) $(CARGO) bench --locked --bench cluster -- $(ARGS)

bench-race: ## Everloop beside Restate, DBOS, Temporal and BullMQ (ARGS="quick" or "P1 restate"); target/bench/race.json, race.svg
	@scripts/install-race-peers
	$(CARGO) bench --locked --bench race -- $(ARGS)

update: ## Write the generated files anew (docs/*.md, docs/openapi.json, crds/, deploy/install.yaml)
	EVERLOOP_UPDATE=1 $(CARGO) test --locked --lib generated
	EVERLOOP_TEST_HELM=$$(scripts/build-helm) EVERLOOP_UPDATE=1 $(CARGO) test --locked --test chart generated

clean: ## Remove what was built
	$(CARGO) clean

tools: ## What the tests need: redis-server, containerd, buildah and others (Debian), valkey-server (PyPI)
	@scripts/install-test-tools $(VALKEY)
