/// run=user: the initrd's ELF as process 1.
#include "process.h"

int user_run(void)
{
	char arg[64];
	struct process *p;
	enum kmm_error e;

	command_word("arg", arg, sizeof(arg));
	if (!glue_boot->initrd) {
		glue_print("@verdict user failed no program in the initrd\n");
		return 1;
	}
	e = process_spawn(glue_boot->initrd, glue_boot->initrd_bytes, "user", arg[0] ? arg : NULL,
			  0, &p);
	if (e != KMM_OK) {
		glue_print("@verdict user failed it does not load: %s\n", kmm_error_text(e));
		return 1;
	}
	return process_await(p);
}
