# Pagemill: the one door. `make help` lists what it opens.

.DEFAULT_GOAL := help
SHELL := /bin/sh
B := build

# ---- what is built from what -------------------------------------------------

MM_SRC      := $(wildcard mm/*.c mm/*/*.c)
OPS_SRC     := $(wildcard harness/ops/*.c)
MODEL_SRC   := $(wildcard harness/model/*.c)
RUN_SRC     := $(wildcard harness/run/*.c)
MACHINE_SRC := $(wildcard harness/machine/*.c)
SCHED_SRC   := $(wildcard harness/sched/*.c)
LITMUS_SRC  := $(wildcard harness/litmus/*.c)
THREADS_SRC := harness/threads/threads.c
STORE_SRC   := $(wildcard bench/*.c)
HOST_SRC    := $(wildcard bench/host/*.c)
CLI_MAIN    := harness/run/pagemill.c

WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
COMMON := -std=gnu11 -g $(WARN) -MMD -MP -Imm -Imm/include -Iharness -Ibench -I.
SAN    := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ISA    := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v2)

# A flavour is a compiler and flags; its objects lie in build/<flavour>/.
#   host   release build on threads, for benchmarks; optimised over files, as an embedder can
#   test   threads, all assertions, ASan and UBSan, for unit tests
#   sim    the simulated machine, for the command line
#   asan   the same under ASan and UBSan
# MMFLAGS_ are for the code under test alone: they make its plain memory accesses visible
# to harness/sched/race.c, whose runtime takes the place of the compiler's.
FLAVOURS   := host test sim asan plain
CC_host    := gcc
FLAGS_host := -O2 -flto=auto $(ISA) -Iharness/threads -DKMM_CONFIG_ASSERT=0
CC_test    := gcc
FLAGS_test := -O1 $(SAN) -Iharness/threads -DKMM_CONFIG_ASSERT=2 -DKMM_CONFIG_FAIL=1
CC_plain   := gcc
FLAGS_plain := -O1 -Iharness/threads -DKMM_CONFIG_ASSERT=2 -DKMM_CONFIG_FAIL=1
CC_sim     := gcc
FLAGS_sim  := -O2 -Iharness/machine
MMFLAGS_sim := -fsanitize=thread -Wno-tsan -Wno-unknown-warning-option
CC_asan    := clang
FLAGS_asan := -O1 $(SAN) -Iharness/machine
MMFLAGS_asan := -fsanitize-coverage=func,trace-loads,trace-stores -finstrument-functions-after-inlining
TELL_asan := __asan_

BENCH_FLAGS := $(FLAGS_host)
STORE_DEFS  := -DBENCH_FLAGS='"$(strip $(BENCH_FLAGS))"'

# Code whose plain accesses are watched. clang copies structs by calling memcpy, of which
# nobody is told: TELL_ is the prefix of the names that become our own (plain: none).
# kmm's own checks aren't: nothing else runs beside them, and they read everything.
WATCHED := mm/% harness/litmus/clients_% harness/tests/race_client.c
watched = $(filter-out mm/%/check.c mm/%/inspect.c,$(filter $(WATCHED),$(1)))
tell = $(if $(TELL_$(1)),&& objcopy $(foreach f,memcpy memmove memset,\
	--redefine-sym $(TELL_$(1):plain=)$(f)=__tsan_$(f)) $(2))

define flavour_rules
$(B)/$(1)/%.o: %.c | setup
	@mkdir -p $$(@D)
	$$(Q)$$(CC_$(1)) $$(COMMON) $$(FLAGS_$(1)) $$(if $$(call watched,$$<),$$(MMFLAGS_$(1))) \
		$$(if $$(filter bench/%,$$<),$$(STORE_DEFS)) -c $$< -o $$@ \
		$$(if $$(call watched,$$<),$$(call tell,$(1),$$@))
endef
$(foreach f,$(FLAVOURS),$(eval $(call flavour_rules,$(f))))
objects = $(patsubst %.c,$(B)/$(1)/%.o,$(2))

Q := $(if $(V),,@)
.SECONDARY:

# ---- programs ------------------------------------------------------------------

CLI_SRC := $(MM_SRC) $(MACHINE_SRC) $(SCHED_SRC) $(LITMUS_SRC) $(OPS_SRC) $(MODEL_SRC) $(RUN_SRC) $(STORE_SRC)

include harness/threads/files.mk

$(B)/pagemill: $(call objects,sim,$(CLI_SRC)) $(B)/sim/schema.o $(B)/plain/body_threads.o
	@echo "  $@" >&2
	$(Q)$(CC_sim) $(FLAGS_sim) $^ -lsqlite3 -lpthread -o $@
$(B)/pagemill-asan: $(call objects,asan,$(CLI_SRC)) $(B)/asan/schema.o $(B)/test/body_threads.o
	@echo "  $@" >&2
	$(Q)$(CC_asan) $(FLAGS_asan) $^ -lsqlite3 -lpthread -o $@
$(B)/pagemill-bench: $(call objects,host,$(MM_SRC) $(THREADS_SRC) $(HOST_SRC))
	@echo "  $@" >&2
	$(Q)$(CC_host) $(FLAGS_host) $^ -lpthread -o $@

# The schema as a C string.
$(B)/schema.c: bench/schema.sql
	@mkdir -p $(@D)
	$(Q){ printf 'extern const char store_schema[];\nconst char store_schema[] = {'; \
	  od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; printf '0};\n'; } > $@
$(B)/%/schema.o: $(B)/schema.c
	@mkdir -p $(@D)
	$(Q)$(CC_$*) $(FLAGS_$*) -c $< -o $@

# ---- unit tests ------------------------------------------------------------------

# Tests of mm's own units run on host threads; those of the bench on the simulated
# machine's port.
THREADS_TESTS := $(foreach t,frame% kmalloc lock memmap object pt_% slab tree vm_%, \
                   $(filter harness/tests/test_$(t).c,$(wildcard harness/tests/test_*.c))) \
                 $(wildcard harness/tests/conformance_*.c)
STORE_TESTS   := $(wildcard harness/tests/test_store*.c)
SIM_TESTS     := $(filter-out $(THREADS_TESTS) $(STORE_TESTS),$(wildcard harness/tests/test_*.c))
TESTS := $(patsubst harness/tests/%.c,$(B)/tests/%,$(SIM_TESTS) $(STORE_TESTS) $(THREADS_TESTS))
PLAIN_TESTS := $(patsubst harness/tests/%.c,$(B)/plain/tests/%,$(THREADS_TESTS))

SIM_LIB := $(filter-out $(CLI_MAIN),$(MM_SRC) $(MACHINE_SRC) $(SCHED_SRC) $(LITMUS_SRC) $(OPS_SRC) $(MODEL_SRC) $(RUN_SRC))

$(B)/test/libthreads.a: $(call objects,test,$(MM_SRC) $(THREADS_SRC))
$(B)/plain/libthreads.a: $(call objects,plain,$(MM_SRC) $(THREADS_SRC))
$(B)/asan/libsim.a: $(call objects,asan,$(SIM_LIB) $(STORE_SRC)) $(B)/asan/schema.o
%.a:
	$(Q)rm -f $@ && ar rcs $@ $^

$(patsubst harness/tests/%.c,$(B)/tests/%,$(THREADS_TESTS)): $(B)/tests/%: $(B)/test/harness/tests/%.o $(B)/test/libthreads.a
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_test) $(FLAGS_test) $^ -lcmocka -lpthread -o $@
$(patsubst harness/tests/%.c,$(B)/tests/%,$(SIM_TESTS) $(STORE_TESTS)): $(B)/tests/%: $(B)/asan/harness/tests/%.o $(B)/asan/libsim.a
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_asan) $(FLAGS_asan) $(filter %.o,$^) -Wl,--whole-archive $(filter %.a,$^) -Wl,--no-whole-archive -lcmocka -lsqlite3 -o $@
$(B)/tests/test_stack: $(B)/asan/harness/tests/race_client.o
$(PLAIN_TESTS): $(B)/plain/tests/%: $(B)/plain/harness/tests/%.o $(B)/plain/libthreads.a
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_plain) $(FLAGS_plain) $^ -lcmocka -lpthread -o $@

# ---- the library on its own --------------------------------------------------------

-include kernel-glue/build.mk
include harness/example/files.mk
-include fuzz/files.mk
include harness/tests/files.mk

# ---- doors ---------------------------------------------------------------------------

PROGRAMS := $(B)/pagemill $(B)/pagemill-asan $(B)/pagemill-bench

.PHONY: help setup all test nightly report clean kernels fuzzers unit
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## install the Debian packages that are missing
	$(Q)scripts/setup

all: setup ## build everything
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) everything
everything: $(PROGRAMS) $(TESTS) $(PLAIN_TESTS) tsan-tests poison-tests kernels fuzzers library
.PHONY: everything

test: all ## everything that must hold; ends with "N passed, N failed"
	$(Q)scripts/test

nightly: all ## build, fuzz, measure, boot, judge, and write reports/index.html
	$(Q)scripts/nightly

report: $(B)/pagemill ## write reports/index.html from the database
	$(Q)$(B)/pagemill report

clean: ## remove what was built (results stay)
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
