# The threads body beside the sim body in one program: mm/ is built twice, so all
# that the second build defines is made local, but for the body itself.
BODY_THREADS_SRC := $(MM_SRC) $(THREADS_SRC) harness/threads/body_threads.c \
	harness/machine/perform.c harness/machine/kernel_ops.c harness/machine/blocks.c harness/machine/spots.c

define body_threads_rules
$(B)/$(1)/body_threads.o: $$(call objects,$(1),$$(BODY_THREADS_SRC))
	@echo "  $$@" >&2
	$$(Q)ld -r -o $$@.all $$^ && objcopy --keep-global-symbol=body_threads $$@.all $$@ && rm $$@.all
endef
$(foreach f,plain test,$(eval $(call body_threads_rules,$(f))))
