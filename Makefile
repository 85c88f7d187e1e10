# The commands of the project; `make` alone lists them. Each installs what it misses, asks no question, and says what it does.
CARGO ?= cargo
# Cargo's own variable wins, so that the demo runs what was built.
CARGO_TARGET_DIR ?= target

.DEFAULT_GOAL := help
MINUTES ?= 5
SEED ?= 1
PERCENT ?= 100
.PHONY: help demo test systemd-test deb chaos scale fuzz bench fmt lint deny

# How long `make fuzz` tries each target, in seconds.
SECONDS ?= 60
FUZZ_TARGETS := intake_entry link_tokens directory_json directory_csv

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## build, and run the main job end to end on SQLite and a private redis-server
	scripts/install-missing rustc build-tools redis
	$(CARGO) build
	"$(CARGO_TARGET_DIR)/debug/enrolld" demo

test: ## everything that must pass: format, lints, dependencies, tests on both databases and under systemd, docs
	scripts/install-missing rustc build-tools redis postgres promtool cargo-nextest cargo-deny
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory deny
	$(CARGO) nextest run --workspace
	tests/systemd/run
	$(CARGO) test --doc --workspace
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace

systemd-test: ## the package under the systemd of this machine, booted in namespaces of its own; takes root
	scripts/install-missing rustc build-tools
	tests/systemd/run

deb: ## the Debian package, in target/debian
	scripts/install-missing rustc build-tools cargo-deb
	scripts/make-deb

chaos: ## registrations on all roads while servers and daemons are killed at random: make chaos MINUTES=30 SEED=7
	scripts/install-missing rustc build-tools redis postgres
	CHAOS_SECONDS=$$(( $(MINUTES) * 60 )) CHAOS_SEED=$(SEED) $(CARGO) test --release --test daemon chaos::nothing -- --nocapture

scale: ## a million registrations that wait, and a hundred thousand timers in the same second; prints what it took
	scripts/install-missing rustc build-tools redis postgres
	SCALE_PERCENT=$(PERCENT) $(CARGO) test --release --test daemon scale -- --nocapture --test-threads 1

fuzz: ## what comes from outside, made up at random, SECONDS=60 a target; what breaks is in fuzz/artifacts
	scripts/install-missing rustc build-tools cargo-fuzz
	mkdir -p $(FUZZ_TARGETS:%=fuzz/found/%)
	set -e; for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run -O -s none "$$target" "fuzz/found/$$target" "fuzz/corpus/$$target" \
			-- -max_total_time=$(SECONDS) -max_len=16384; \
	done

bench: ## the benchmarks (a redis-server and a PostgreSQL of their own)
	scripts/install-missing rustc build-tools redis postgres
	$(CARGO) bench --workspace

fmt: ## format the sources
	$(CARGO) fmt --all

lint: ## check format and lints, warnings as errors
	scripts/install-missing rustc build-tools
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# Twice the same crate is only warned of, at length: see `cargo deny check bans`.
DENY = $(CARGO) deny --locked --workspace --log-level error

deny: ## check dependencies: bans, licences, sources; known vulnerabilities where their list is here (cargo deny fetch db)
	scripts/install-missing rustc build-tools cargo-deny
	$(DENY) check bans licenses sources
	@if ls -d "$${CARGO_HOME:-$$HOME/.cargo}"/advisory-db*/*/ >/dev/null 2>&1; then \
		$(DENY) check --disable-fetch advisories; \
	else \
		echo "deny: the list of known vulnerabilities is not here, so they are not looked for; \`cargo deny fetch db\` gets it."; \
	fi
