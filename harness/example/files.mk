# libkmm.a for an embedder, and the example that embeds it. The library is
# compiled against the embedder's <port/local.h>; here that is example/port.

CC_example    := gcc
FLAGS_example := -O2 -Iharness/example
KMM_LIB_SRC   := $(MM_SRC)

$(eval $(call flavour_rules,example))

$(B)/libkmm.a: $(call objects,example,$(KMM_LIB_SRC))
$(B)/embedder: $(call objects,example,harness/example/embedder.c harness/example/port.c) $(B)/libkmm.a
	@echo "  $@" >&2
	$(Q)$(CC_example) $^ -o $@

# The same sources under each kernel's flags and both compilers, without warnings.
.PHONY: library
library: $(B)/embedder
