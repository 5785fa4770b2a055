# The verdict programs: freestanding, for kernels; and with a host program around them.
# test: ASan and UBSan, failures injected; tsan: under ThreadSanitizer.
VERDICT_SRC := $(addprefix harness/verdict/, contents.c fragments.c nodes.c preset.c pressure.c \
	ranges.c storms.c verdict.c zones.c)
VERDICT_HOST_SRC := $(VERDICT_SRC) harness/verdict/host.c

define verdict_rules
$(B)/$(2): $$(call objects,$(1),$$(MM_SRC) $$(THREADS_SRC) $$(VERDICT_HOST_SRC))
	@echo "  $$@" >&2
	$$(Q)$$(CC_$(1)) $$(FLAGS_$(1)) $$^ -lpthread -o $$@
everything: $(B)/$(2)
endef
$(eval $(call verdict_rules,host,pagemill-verdict))
$(eval $(call verdict_rules,test,pagemill-verdict-asan))
$(eval $(call verdict_rules,tsan,pagemill-verdict-tsan))
