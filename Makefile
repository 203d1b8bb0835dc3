# Two commands for a fresh machine with any Node, npm, make and git:
#   make backup SRC=/home DEST=/mnt/backup
#   make test

# What `make backup` saves, and where to. The defaults only try it out on this folder.
SRC ?= $(CURDIR)
DEST ?= $(HOME)/lbs-backup

# The pinned Node and the tools come first, so that an old Node on the machine does not matter.
export PATH := $(CURDIR)/node_modules/node/bin:$(CURDIR)/node_modules/.bin:$(PATH)

SOURCES := $(shell find src -name '*.ts')
FORMATTED := src test .oxlintrc.json package.json tsconfig.json
# Written by npm itself at the end of an installation.
INSTALLED := node_modules/.package-lock.json
BUILT := dist/.built

.PHONY: all backup test check lint format format-check man-lint type-check test-slow \
	test-recovery test-soak test-away test-at-once test-old-stores test-damage test-hostile fuzz crash power-cuts \
	bench bench-quick \
	install clean

all: $(BUILT)

# --ignore-scripts would leave out the pinned Node, which comes by one.
$(INSTALLED): package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Its own stamp, because tsc writes files even when it finds mistakes.
$(BUILT): $(INSTALLED) $(SOURCES) tsconfig.json
	tsc -p tsconfig.json
	npm run --silent join
	@touch $@

backup: $(BUILT)
	mkdir -p "$(DEST)"
	bin/lbs --dest="$(DEST)" --exclude="$(DEST)" "$(SRC)" || [ $$? -eq 3 ]
	@name=$$(bin/lbs list --store="$(DEST)" --json | sed -n 's/.*"id":"\([^"]*\)".*/\1/p' | tail -n 1); \
	printf '\nSnapshot: %s\n' "$$name"; \
	printf 'Check it:   (cd "%s" && sha1sum -c snapshot-%s.sha1sums)\n' "$(DEST)" "$$name"; \
	printf 'Restore it: "%s/bin/lbs" restore --store="%s" %s "%s"\n' \
		"$(CURDIR)" "$(DEST)" "$$name" "$(HOME)/lbs-restored"

# Ends with the line `N passed, N failed`.
test: $(INSTALLED)
	@test/helpers/system-packages
	@$(MAKE) --no-print-directory check
	@node test/helpers/run-tests.ts

check: $(BUILT) type-check lint format-check man-lint

type-check: $(INSTALLED)
	tsc -p test

lint: $(INSTALLED)
	oxlint --type-aware --quiet src test

format: $(INSTALLED)
	prettier --log-level=warn --write $(FORMATTED)

format-check: $(INSTALLED)
	prettier --log-level=warn --check $(FORMATTED)

man-lint:
	mandoc -T lint -W warning man/*.[157]

# Take long or much room: run by hand, not by CI.
test-slow: $(BUILT)
	@node test/helpers/run-tests.ts --config test/slow/ava.config.js

# A real /usr (or LBS_TEST_TREE), restored by the restore.sh of its store where there is no Node.
test-recovery: $(BUILT)
	@node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/recovery.ts

# Five years of nights, or LBS_SOAK_NIGHTS of them.
test-soak: $(BUILT)
	@node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/soak.ts

# LBS_ROUNDS rounds of three commands of different machines at the same time.
test-at-once: $(BUILT)
	@node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/at-once.ts

# A store that goes away, in each of several ways, at LBS_AWAY_POINTS calls of each command.
test-away: $(BUILT)
	@$(if $(wildcard /dev/shm/.),TMPDIR=/dev/shm) node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/away.ts

# Old stores in every test of old stores; `make test` takes every second one.
test-old-stores: $(BUILT)
	@LBS_TEST_ALL=1 node test/helpers/run-tests.ts test/cli/copy-old-stores.ts test/cli/forget-stores.ts \
		test/cli/gc.ts test/cli/rebuild-old-stores.ts test/recovery/fixture-stores.ts

# Every damage of test/helpers/damage-ways.ts to every file of stores of each kind. Restores wait for
# the disk: TMPDIR=/dev/shm makes it several times as fast.
test-damage: $(BUILT)
	@node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/damage.ts

# Thousands of exchanges of names during restores, and bombs of gigabytes.
test-hostile: $(BUILT)
	@node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/hostile.ts \
		test/slow/hostile-sizes.ts

# Parsers and commands on texts and stores that are nearly right, for FUZZ_SECONDS each.
FUZZ_SECONDS ?= 300
fuzz: $(BUILT)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) node test/helpers/run-tests.ts --serial --timeout=24h \
		test/hostile/fuzz-parsers.ts test/hostile/fuzz-stores.ts

# Every fault at every call of every command that changes something: some hours. Less of it, as a
# failure names it: make crash LBS_CRASH=gc:kill-after:17
crash: $(BUILT)
	@$(if $(wildcard /dev/shm/.),TMPDIR=/dev/shm) node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/crash.ts

# The power is cut at every call of some commands on ext4, xfs and btrfs, whichever the kernel has; by
# root. Mounts are in a namespace of their own, and go with it.
power-cuts: $(BUILT)
	@TMPDIR=/dev/shm $(shell unshare --mount true 2>/dev/null && echo unshare --mount) \
		node test/helpers/run-tests.ts --config test/slow/ava.config.js test/slow/power-cuts.ts

# Measures lbs beside other programs (test/bench/README.md); `quick` in less than three minutes.
bench: $(BUILT)
	@node test/bench/main.ts

bench-quick: $(BUILT)
	@node test/bench/main.ts --quick

install: $(BUILT)
	npm install --global --no-audit --no-fund --loglevel=error .

clean:
	rm -rf dist node_modules
