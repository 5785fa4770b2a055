# What scripts/coverage builds: mm/ with gcov's counters, twice, once with the port of host
# threads under its unit tests, once with the simulated machine's under the player.
include Makefile

COVER := -O0 --coverage -fprofile-update=atomic -fno-inline
CC_cover       := gcc
FLAGS_cover    := -Iharness/threads -DKMM_CONFIG_ASSERT=2 -DKMM_CONFIG_FAIL=1
MMFLAGS_cover  := $(COVER)
CC_coversim    := gcc
FLAGS_coversim := -O2 -Iharness/machine
MMFLAGS_coversim := $(COVER)
$(foreach f,cover coversim,$(eval $(call flavour_rules,$(f))))

COVER_TESTS := $(patsubst harness/tests/%.c,$(B)/cover/tests/%,$(THREADS_TESTS))
$(B)/cover/libthreads.a: $(call objects,cover,$(MM_SRC) $(THREADS_SRC))
$(COVER_TESTS): $(B)/cover/tests/%: $(B)/cover/harness/tests/%.o $(B)/cover/libthreads.a
	@mkdir -p $(@D)
	$(Q)gcc --coverage $^ -lcmocka -lpthread -o $@
$(B)/cover/pagemill: $(call objects,coversim,$(CLI_SRC)) $(B)/coversim/schema.o
	@mkdir -p $(@D)
	$(Q)gcc --coverage $^ -lsqlite3 -o $@
coverage-programs: $(COVER_TESTS) $(B)/cover/pagemill
.PHONY: coverage-programs
