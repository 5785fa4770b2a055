# Suites built a second time: under ThreadSanitizer, and without a sanitizer for Valgrind.

# clang: gcc warns of each fence. Of the scheduler only what runs on fibers is watched; it
# itself is on no CPU's side, and nothing orders its own accesses there.
CC_tsan    := clang
FLAGS_tsan := -O1 -fsanitize=thread -Iharness/threads -DKMM_CONFIG_ASSERT=2 -DKMM_CONFIG_FAIL=1
$(eval $(call flavour_rules,tsan))
TSAN_TESTS := $(patsubst harness/tests/%.c,$(B)/tsan/tests/%,$(THREADS_TESTS))
SCHED_CORE := $(addprefix harness/sched/,sched.c strategy.c explore.c)

$(B)/tsan/libthreads.a: $(call objects,tsan,$(MM_SRC) $(THREADS_SRC))
$(TSAN_TESTS): $(B)/tsan/tests/%: $(B)/tsan/harness/tests/%.o $(B)/tsan/libthreads.a
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_tsan) $(FLAGS_tsan) $^ -lcmocka -lpthread -o $@
$(B)/tsan/tests/test_sched: $(call objects,tsan,harness/tests/test_sched.c harness/sched/fiber.c) \
		$(call objects,plain,$(SCHED_CORE))
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_tsan) $(FLAGS_tsan) $^ -lcmocka -o $@
$(B)/plain/tests/test_sched: $(call objects,plain,harness/tests/test_sched.c harness/sched/fiber.c $(SCHED_CORE))
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_plain) $(FLAGS_plain) $^ -lcmocka -o $@

# Of the bench, what judges figures.
GROWTH_SRC := $(addprefix bench/host/,fit.c report.c measure.c)
$(B)/tests/test_frame_growth: $(call objects,test,$(GROWTH_SRC))
$(B)/plain/tests/test_frame_growth: $(call objects,plain,$(GROWTH_SRC))
$(B)/tsan/tests/test_frame_growth: $(call objects,tsan,$(GROWTH_SRC))

tsan-tests: $(TSAN_TESTS) $(B)/tsan/tests/test_sched $(B)/plain/tests/test_sched

# Frames are filled with a pattern while they are free.
CC_poison    := gcc
FLAGS_poison := $(FLAGS_plain) -DKMM_CONFIG_POISON=1
$(eval $(call flavour_rules,poison))
POISON_TESTS := $(addprefix $(B)/poison/tests/,test_frame_contents test_frame_range)
$(B)/poison/libthreads.a: $(call objects,poison,$(MM_SRC) $(THREADS_SRC))
$(POISON_TESTS): $(B)/poison/tests/%: $(B)/poison/harness/tests/%.o $(B)/poison/libthreads.a
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(CC_poison) $(FLAGS_poison) $^ -lcmocka -lpthread -o $@
poison-tests: $(POISON_TESTS)

.PHONY: tsan-tests poison-tests coverage

coverage: setup ## how much of mm/ the tests reach, and what they don't
	$(Q)BUILD=$(B) scripts/coverage
