# The one entry to everything. `make help` lists what there is.

# One target folder outside the clone, so that a fresh clone need not compile RocksDB again,
# and ccache where it is installed.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tambo/target
ifneq ($(shell command -v ccache),)
export CC ?= ccache cc
export CXX ?= ccache c++
ifeq ($(origin CC),default)
CC = ccache cc
endif
ifeq ($(origin CXX),default)
CXX = ccache c++
endif
endif

PROGRAMS = $(CARGO_TARGET_DIR)/debug

.PHONY: help demo test check build bench abuse bench-stages fuzz schemathesis sim sim-egress crash docs packages packages-test

help:
	@echo 'make demo    builds, and shows the relay at work on a small internet of its own (ARGS=--exit: ends by itself)'
	@echo 'make test    installs what the tests need and runs them all'
	@echo 'make check   format, clippy with warnings denied, the shape of the tree'
	@echo 'make bench   speed beside Postfix and the direct line, as ratios, and the targets (ARGS=--scenario=small,large: some of it)'
	@echo 'make abuse   what seven kinds of attackers leave of the speed of good traffic (ARGS=--help)'
	@echo 'make bench-stages  what one message costs in each stage (ARGS=egress: some of them)'
	@echo 'make crash   kill -9 and a log cut to what was synced (ROUNDS=n)'
	@echo 'make sim     the simulation of the whole relay (SEEDS=n, from FIRST=n on; SEED=n: one, with its log)'
	@echo 'make sim-egress  45 days of mail to providers with hidden rules, as a table (SEEDS=n, or SEED=n)'
	@echo 'make fuzz    every parser of what strangers send, at random (SECONDS=60, TARGET=one)'
	@echo 'make schemathesis  a running API held against its own description (EXAMPLES=n for each route)'
	@echo 'make docs    writes the generated references'

packages:
	@scripts/packages build

packages-test:
	@scripts/packages test

build: packages
	@echo 'Building. The first time RocksDB is compiled: 12 to 20 minutes on two cores; later it takes seconds.'
	$(MAKE) --no-print-directory compile

.PHONY: compile
compile:
	cargo build --workspace --all-targets

demo: build
	$(PROGRAMS)/demo $(ARGS)

test: packages-test
	$(MAKE) --no-print-directory compile
	cargo test --workspace --no-fail-fast

check: packages
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --test tidy

bench: packages-test
	$(MAKE) --no-print-directory compile
	$(PROGRAMS)/load $(ARGS)

abuse: packages-test
	$(MAKE) --no-print-directory compile
	$(PROGRAMS)/abuse $(ARGS)

bench-stages: packages
	cargo bench --workspace --profile dev --bench stages -- $(ARGS)

crash: packages-test
	$(MAKE) --no-print-directory compile
	TAMBO_CRASH_ROUNDS=$(or $(ROUNDS),20) cargo test --workspace --test crash -- --nocapture

sim:
	TAMBO_SIM_SEED=$(SEED) TAMBO_SIM_SEEDS=$(SEEDS) TAMBO_SIM_FIRST=$(FIRST) cargo test --workspace --test sim -- --nocapture nothing_is_lost

sim-egress:
	TAMBO_SIM_SEED=$(SEED) TAMBO_SIM_COUNT=$(or $(SEEDS),3) cargo test --workspace --test egress -- --nocapture weeks_of_mail

fuzz: packages
	scripts/fuzz $(or $(SECONDS),60) $(TARGET)

schemathesis: build
	scripts/schemathesis $(PROGRAMS)/tambo

docs:
	TAMBO_WRITE_DOCS=1 cargo test --workspace --lib -q -- _is_current
