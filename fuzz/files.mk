# The fuzzers: for each engine one of the tree as it is, and one for each planted
# fault. Only mm/ is instrumented, so that an engine follows kmm's branches and not
# its judges'. A faulty build differs in the one file its patch names.

FUZZ_FAULTS := $(patsubst fuzz/faults/%.patch,%,$(wildcard fuzz/faults/*.patch))
FUZZ_HARNESS := $(MACHINE_SRC) $(OPS_SRC) $(MODEL_SRC) harness/run/player.c fuzz/input.c fuzz/target.c
FUZZ_MUTATOR := fuzz/mutator.c fuzz/input.c $(OPS_SRC)
# The file that a fault's patch changes.
fault_file = $(shell sed -n 's,^+++ b/,,p' fuzz/faults/$(1).patch)

CC_libfuzzer    := clang
# Coverage without comparison tracing: the mutator has no use for it, and it costs half
# of the time.
FUZZ_COVER      := -fsanitize-coverage=inline-8bit-counters,pc-table
FLAGS_libfuzzer := -O2 $(FUZZ_COVER) -Iharness/machine
CC_afl          := afl-clang-fast
FLAGS_afl       := -O2 -Iharness/machine
CC_judge        := clang
FLAGS_judge     := -O2 -fPIC -Iharness/machine
CC_asanfuzz     := clang
FLAGS_asanfuzz  := -O1 $(FUZZ_COVER) -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer -Iharness/machine

$(foreach f,libfuzzer afl judge asanfuzz,$(eval $(call flavour_rules,$(f))))
$(B)/afl/%.o: export AFL_QUIET = 1

LINK_libfuzzer = clang -fsanitize=fuzzer
LINK_afl       = AFL_QUIET=1 afl-clang-fast -fsanitize=fuzzer

FUZZ_JUDGE := $(call objects,judge,$(FUZZ_HARNESS))

$(B)/fuzz/libfuzzer: $(call objects,libfuzzer,$(MM_SRC)) $(FUZZ_JUDGE) $(B)/judge/fuzz/mutator.o
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(LINK_libfuzzer) $^ -o $@
$(B)/fuzz/afl: $(call objects,afl,$(MM_SRC)) $(FUZZ_JUDGE)
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)$(LINK_afl) $^ -o $@
# Slower, and sees memory errors that leave no trace elsewhere.
$(B)/fuzz/libfuzzer-asan: $(call objects,asanfuzz,$(MM_SRC) $(FUZZ_HARNESS) fuzz/mutator.c)
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)clang -fsanitize=fuzzer,address,undefined $^ -o $@
$(B)/fuzz/mutator.so: $(call objects,judge,$(FUZZ_MUTATOR))
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)clang -shared $^ -o $@

# fault NAME: its patched source, and what is linked with it in place of the sound one.
define fault_rules
$(B)/fuzz/src/$(1)/$(call fault_file,$(1)): $(call fault_file,$(1)) fuzz/faults/$(1).patch
	@mkdir -p $$(@D)
	@echo "  $$@" >&2
	$$(Q)patch -s -F 3 -o $$@.new $$< fuzz/faults/$(1).patch && mv $$@.new $$@
$(foreach f,libfuzzer afl sim,
$(B)/fuzz/$(f)-$(1).o: $(B)/fuzz/src/$(1)/$(call fault_file,$(1))
	$$(Q)$$(CC_$(f)) $$(COMMON) $$(FLAGS_$(f)) -I$$(dir $(call fault_file,$(1))) -c $$< -o $$@
)
$(B)/fuzz/libfuzzer-$(1): $(B)/fuzz/libfuzzer-$(1).o $$(call objects,libfuzzer,$$(filter-out $(call fault_file,$(1)),$$(MM_SRC))) $$(FUZZ_JUDGE) $(B)/judge/fuzz/mutator.o
	@echo "  $$@" >&2
	$$(Q)$$(LINK_libfuzzer) $$^ -o $$@
$(B)/fuzz/afl-$(1): $(B)/fuzz/afl-$(1).o $$(call objects,afl,$$(filter-out $(call fault_file,$(1)),$$(MM_SRC))) $$(FUZZ_JUDGE)
	@echo "  $$@" >&2
	$$(Q)$$(LINK_afl) $$^ -o $$@
$(B)/fuzz/pagemill-$(1): $(B)/fuzz/sim-$(1).o $$(call objects,sim,$$(filter-out $(call fault_file,$(1)),$$(CLI_SRC))) $(B)/sim/schema.o
	@echo "  $$@" >&2
	$$(Q)$$(CC_sim) $$(FLAGS_sim) $$^ -lsqlite3 -o $$@
endef
$(foreach fault,$(FUZZ_FAULTS),$(eval $(call fault_rules,$(fault))))

fuzzers: $(B)/fuzz/libfuzzer $(B)/fuzz/afl $(B)/fuzz/libfuzzer-asan $(B)/fuzz/mutator.so \
	$(foreach f,$(FUZZ_FAULTS),$(addprefix $(B)/fuzz/,libfuzzer-$(f) afl-$(f) pagemill-$(f)))

# Each engine against each planted fault, ten seeds: a row each in the database.
SEEDS ?= 1 2 3 4 5 6 7 8 9 10
.PHONY: seeded
seeded: all ## ten seeds of each engine against each planted fault
	$(Q)for engine in libfuzzer afl; do for fault in $(FUZZ_FAULTS); do for seed in $(SEEDS); do \
		scripts/campaign --engine $$engine --fault $$fault --seconds 60 --seed $$seed; done; done; done
