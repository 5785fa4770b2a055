# The fuzzers: for each engine one of the tree as it is, and one for each planted
# fault. Only mm/ is instrumented, so that an engine follows kmm's branches and not
# its judges'. A faulty build differs in the one file its patch names: in that file's
# object, or, if it is a header, in all of mm/'s.

FUZZ_FAULTS := $(patsubst fuzz/faults/%.patch,%,$(wildcard fuzz/faults/*.patch))
FUZZ_HARNESS := $(MACHINE_SRC) $(SCHED_SRC) $(OPS_SRC) $(MODEL_SRC) \
	$(addprefix harness/run/,player.c section.c recorder.c) $(wildcard harness/run/linear*.c) fuzz/input.c fuzz/target.c
FUZZ_MUTATOR := fuzz/mutator.c fuzz/input.c $(OPS_SRC)
# The file that a fault's patch changes, as a variable a fault.
$(foreach line,$(shell cd fuzz/faults && sed -n 's,^+++ b/\(.*\),\1,p;t name;b;:name;F' *.patch | paste -d: - -),\
	$(eval FAULT_FILE_$(patsubst %.patch,%,$(word 2,$(subst :, ,$(line)))) := $(word 1,$(subst :, ,$(line)))))
fault_file = $(FAULT_FILE_$(1))
# What is compiled from it, and from where: the patched file itself, or mm/ with the
# patched header ahead of the sound one.
fault_src = $(if $(filter %.h,$(call fault_file,$(1))),$(MM_SRC),$(call fault_file,$(1)))
fault_in  = $(if $(filter %.h,$(call fault_file,$(1))),,$(B)/fuzz/src/$(1)/)
# The objects of a list of sources in which the fault's take the place of the sound ones.
# 1 fault, 2 flavour, 3 sources
fault_objects = $(patsubst %.c,$(B)/fuzz/obj/$(1)/$(2)/%.o,$(call fault_src,$(1))) \
	$(call objects,$(2),$(filter-out $(call fault_src,$(1)),$(3)))

CC_libfuzzer    := clang
# Coverage without comparison tracing: the mutator has no use for it, and it costs half
# of the time.
FUZZ_COVER      := -fsanitize-coverage=inline-8bit-counters,pc-table
FLAGS_libfuzzer := -O2 -Iharness/machine
MMFLAGS_libfuzzer := $(FUZZ_COVER),trace-loads,trace-stores -finstrument-functions-after-inlining
TELL_libfuzzer := plain
CC_afl          := scripts/afl-cc
FLAGS_afl       := -O2 -Iharness/machine
MMFLAGS_afl     := $(MMFLAGS_sim)
TELL_afl        := plain
CC_judge        := clang
FLAGS_judge     := -O2 -Iharness/machine
CC_pic          := clang
FLAGS_pic       := -O2 -fPIC -Iharness/machine
CC_asanfuzz     := clang
FLAGS_asanfuzz  := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer -Iharness/machine
MMFLAGS_asanfuzz := $(FUZZ_COVER),trace-loads,trace-stores -finstrument-functions-after-inlining
TELL_asanfuzz := __asan_

# The player as four compilers would have it: one trace must mean one thing in all.
REPLAY_BUILDS := gcc-O0 gcc-O2 clang-O0 clang-O2
define replay_flavour
CC_$(1)      := $(word 1,$(subst -, ,$(1)))
FLAGS_$(1)   := -$(word 2,$(subst -, ,$(1))) -Iharness/machine
MMFLAGS_$(1) := $$(MMFLAGS_sim)
TELL_$(1)    := $(if $(filter clang%,$(1)),plain)
endef
$(foreach f,$(REPLAY_BUILDS),$(eval $(call replay_flavour,$(f))))

$(foreach f,libfuzzer afl judge pic asanfuzz $(REPLAY_BUILDS),$(eval $(call flavour_rules,$(f))))

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
$(B)/fuzz/mutator.so: $(call objects,pic,$(FUZZ_MUTATOR))
	@mkdir -p $(@D)
	@echo "  $@" >&2
	$(Q)clang -shared $^ -o $@

# fault NAME: its patched file.
define fault_rules
$(B)/fuzz/src/$(1)/$(call fault_file,$(1)): $(call fault_file,$(1)) fuzz/faults/$(1).patch
	@mkdir -p $$(@D)
	$$(Q)patch -s -F 3 -o $$@.new $$< fuzz/faults/$(1).patch && mv $$@.new $$@
$(B)/fuzz/libfuzzer-$(1): $$(call fault_objects,$(1),libfuzzer,$$(MM_SRC)) $$(FUZZ_JUDGE) $(B)/judge/fuzz/mutator.o
	@echo "  $$@" >&2
	$$(Q)$$(LINK_libfuzzer) $$^ -o $$@
$(B)/fuzz/afl-$(1): $$(call fault_objects,$(1),afl,$$(MM_SRC)) $$(FUZZ_JUDGE)
	@echo "  $$@" >&2
	$$(Q)$$(LINK_afl) $$^ -o $$@
$(B)/fuzz/pagemill-$(1): $$(call fault_objects,$(1),sim,$$(CLI_SRC)) $(B)/sim/schema.o
	@echo "  $$@" >&2
	$$(Q)$$(CC_sim) $$(FLAGS_sim) $$^ -lsqlite3 -o $$@
endef

# fault NAME, flavour: its objects.
define fault_flavour_rules
$(patsubst %.c,$(B)/fuzz/obj/$(1)/$(2)/%.o,$(call fault_src,$(1))): $(B)/fuzz/obj/$(1)/$(2)/%.o: $(call fault_in,$(1))%.c $(B)/fuzz/src/$(1)/$(call fault_file,$(1)) | setup
	@mkdir -p $$(@D)
	$$(Q)$$(CC_$(2)) -I$(B)/fuzz/src/$(1)/mm $$(COMMON) $$(FLAGS_$(2)) $$(MMFLAGS_$(2)) -c $$< -o $$@ $$(call tell,$(2),$$@)
endef

# fault NAME, or nothing for the tree as it is; which of the four.
define replay_rules
$(B)/fuzz/pagemill$(1:%=-%)-$(2): $(if $(1),$$(call fault_objects,$(1),$(2),$$(CLI_SRC)),$$(call objects,$(2),$$(CLI_SRC))) $(B)/$(2)/schema.o
	@mkdir -p $$(@D)
	@echo "  $$@" >&2
	$$(Q)$$(CC_$(2)) $$(FLAGS_$(2)) $$^ -lsqlite3 -o $$@
endef

$(foreach fault,$(FUZZ_FAULTS),$(eval $(call fault_rules,$(fault))))
$(foreach fault,$(FUZZ_FAULTS),$(foreach f,libfuzzer afl sim $(REPLAY_BUILDS),\
	$(eval $(call fault_flavour_rules,$(fault),$(f)))))
$(foreach f,$(REPLAY_BUILDS),$(eval $(call replay_rules,,$(f))))
$(foreach fault,$(FUZZ_FAULTS),$(foreach f,$(REPLAY_BUILDS),$(eval $(call replay_rules,$(fault),$(f)))))

# What is built of a fault.
fault_programs = $(addprefix $(B)/fuzz/,libfuzzer-$(1) afl-$(1) pagemill-$(1))

# Which of both make seeded plays, and how long each time.
FAULTS  ?= $(FUZZ_FAULTS)
SEEDS   ?= 1 2 3 4 5 6 7 8 9 10
ENGINES ?= libfuzzer afl
SEEDED_SECONDS ?= 60

fuzzers: $(B)/fuzz/libfuzzer $(B)/fuzz/afl $(B)/fuzz/libfuzzer-asan $(B)/fuzz/mutator.so
faulty: $(foreach f,$(FAULTS),$(call fault_programs,$(f)))
replayers: $(foreach f,$(REPLAY_BUILDS),$(B)/fuzz/pagemill-$(f))

# Each engine against each planted fault, ten seeds: a row each in the database. What is
# found is played in the four builds as well.
.PHONY: faulty replayers seeded
seeded: all faulty ## each engine against each planted fault (SEEDS, FAULTS, ENGINES)
	$(Q)BUILD=$(B) scripts/seeded --engines "$(ENGINES)" --faults "$(FAULTS)" --seeds "$(SEEDS)" \
		--seconds $(SEEDED_SECONDS)
