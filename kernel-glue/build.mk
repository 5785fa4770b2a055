# Builds both kernels and their user programs: build/<arch>/kernel and
# build/<arch>/user/<program>. Each architecture brings its flags in files.mk.
# build/<arch>/kernel-checked is the same kernel with all assertions, poisoned free frames
# failures that can be injected, and a record of frames: for tests, not for figures.

include kernel-glue/files.mk kernel-glue/aarch64/files.mk harness/verdict/files.mk

CHECKED := $(foreach c,FAIL=1 POISON=1 ASSERT=2,-UKMM_CONFIG_$(firstword $(subst =, ,$(c))) \
	-DKMM_CONFIG_$(c)) -DGLUE_RECORDS=1

# 1 architecture, 2 its variables' prefix
define kernel_rules
$(1)_KERNEL_OBJ := $$(addprefix $(B)/$(1)/,$$(addsuffix .o,$$(COMMON_SRC) $$($(2)_SRC) $$(MM_SRC) \
	$$(GLUE_OPS_SRC) $$(GLUE_MACHINE_SRC) $$(VERDICT_SRC)))

$(B)/$(1)/user/obj/%.o: % | setup
	@mkdir -p $$(@D)
	$$(Q)$$($(2)_CC) $$(USER_CFLAGS) $$($(2)_USER_CFLAGS) -MMD -MP -c $$< -o $$@

$(B)/$(1)/kernel-glue/common/blob.S.o: $(B)/$(1)/user/player
$(B)/$(1)/%.o: % | setup
	@mkdir -p $$(@D)
	$$(Q)$$($(2)_CC) $$($(2)_CFLAGS) $$(GLUE_INCLUDE) -Wa,-I$(B)/$(1) -MMD -MP -c $$< -o $$@

$(1)_CHECKED_OBJ := $$(patsubst $(B)/$(1)/%,$(B)/$(1)/checked/%,$$($(1)_KERNEL_OBJ))
$(B)/$(1)/checked/kernel-glue/common/blob.S.o: $(B)/$(1)/user/player
$(B)/$(1)/checked/%.o: % | setup
	@mkdir -p $$(@D)
	$$(Q)$$($(2)_CC) $$($(2)_CFLAGS) $$(CHECKED) $$(GLUE_INCLUDE) -Wa,-I$(B)/$(1) -MMD -MP -c $$< -o $$@
$(B)/$(1)/kernel-checked.elf: $$($(1)_CHECKED_OBJ) kernel-glue/$(1)/link.ld
	@echo "  $$@" >&2
	$$(Q)$$($(2)_CC) $$($(2)_LDFLAGS) $$($(1)_CHECKED_OBJ) -o $$@
kernels: $(B)/$(1)/kernel-checked

$(B)/$(1)/kernel.elf: $$($(1)_KERNEL_OBJ) kernel-glue/$(1)/link.ld
	@echo "  $$@" >&2
	$$(Q)$$($(2)_CC) $$($(2)_LDFLAGS) $$($(1)_KERNEL_OBJ) -o $$@

kernels: $(B)/$(1)/kernel $$(addprefix $(B)/$(1)/user/,$$(USER_PROGRAMS))
endef

# 1 architecture, 2 prefix, 3 program
define user_rules
$(B)/$(1)/user/$(3): $$(addprefix $(B)/$(1)/user/obj/,$$(addsuffix .o,kernel-glue/user/$(3).c kernel-glue/user/crt_$(1).S $$(USER_SRC) $$(call USER_EXTRA_$(3),$(1))))
	@echo "  $$@" >&2
	$$(Q)$$($(2)_CC) $$(USER_LDFLAGS) $$^ -o $$@
endef

$(eval $(call kernel_rules,x86_64,X86_64))
$(eval $(call kernel_rules,aarch64,AARCH64))
$(foreach u,$(USER_PROGRAMS),$(eval $(call user_rules,x86_64,X86_64,$(u))))
$(foreach u,$(USER_PROGRAMS),$(eval $(call user_rules,aarch64,AARCH64,$(u))))

$(B)/x86_64/kernel $(B)/x86_64/kernel-checked: %: %.elf
	$(Q)cp $< $@
$(B)/aarch64/kernel $(B)/aarch64/kernel-checked: %: %.elf
	$(Q)$(AARCH64_OBJCOPY) -O binary $< $@
