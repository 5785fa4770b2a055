/// Trace files good and bad, guests that end in every way (a shell script plays QEMU),
/// and the tool's exit codes: one clear line each.
#include "play_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/model.h"
#include "ops/generate.h"
#include "run/cli.h"

static char dir[] = "/tmp/pagemill-test-XXXXXX";
static char path_was[4096];

static const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", dir, name);
	return path[at];
}

static void put_file(const char *name, const void *bytes, size_t n, mode_t mode)
{
	FILE *f = fopen(in_dir(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(in_dir(name), mode), 0);
}

static void put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text), 0644);
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(path_was, sizeof(path_was), "%s", getenv("PATH"));
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[64];

	(void)state;
	setenv("PATH", path_was, 1);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

/* ---- files ---- */

static void trace_both_forms_come_back(void **state)
{
	static struct op ops[700];
	struct generate_options g = { .seed = 3, .ops_n = 700, .fails = true };

	(void)state;
	ops_generate(ops, &g);
	for (int form = OPS_TEXT; form <= OPS_BINARY; form++) {
		struct ops_trace t;
		char why[256];

		assert_null(ops_save(in_dir("t"), ops, 700, (enum ops_form)form,
				     "two lines\nof comment", why, sizeof(why)));
		assert_null(ops_load(in_dir("t"), &t, why, sizeof(why)));
		assert_int_equal(t.ops_n, 700);
		assert_memory_equal(t.ops, ops, sizeof(ops));
		free(t.ops);
	}
}

static void assert_refused(const void *bytes, size_t n, const char *want)
{
	struct ops_trace t;
	char why[256];

	assert_non_null(ops_load_bytes("t", bytes, n, &t, why, sizeof(why)));
	assert_string_equal(why, want);
	assert_null(t.ops);
	assert_int_equal(t.ops_n, 0);
}

static void refuse_text(const char *text, const char *want)
{
	assert_refused(text, strlen(text), want);
}

static void trace_bad_text_says_line_and_what(void **state)
{
	char line[400];

	(void)state;
	refuse_text("", "t: not a trace: 'pagemill trace 1' is missing");
	refuse_text("# only a comment\n\n", "t: not a trace: 'pagemill trace 1' is missing");
	refuse_text("hello\n", "t:1: not a trace: 'pagemill trace 1' is missing");
	refuse_text("pagemill trace 2\n", "t:1: not a trace: 'pagemill trace 1' is missing");
	refuse_text("# c\npagemill trace 1\n\ncpu c1\nmop s0\n", "t:5: unknown operation 'mop'");
	refuse_text("pagemill trace 1\nmap s0 w3 p12 +8",
		    "t:2: map: operand 5 is missing: a protection (letters r, w, x, or -)");
	assert_refused("pagemill trace 1\ncpu\0c1\n", 24, "t:2: a zero byte: not a text file");
	memset(line, 'a', sizeof(line));
	memcpy(line, "pagemill trace 1\n", 17);
	assert_refused(line, sizeof(line), "t:2: the line is too long");
}

static void trace_text_is_lenient_about_space_and_comments(void **state)
{
	static const char text[] = "# first\r\n  pagemill trace 1  # here\r\n\r\n\tcpu  c1\r\n"
				   "checkpoint# no space\r\n#last";
	struct ops_trace t;
	char why[256];

	(void)state;
	assert_null(ops_load_bytes("t", text, strlen(text), &t, why, sizeof(why)));
	assert_int_equal(t.ops_n, 2);
	assert_int_equal(t.ops[1].code, OP_CHECKPOINT);
	free(t.ops);
}

static void trace_bad_binary_says_what(void **state)
{
	struct {
		struct ops_header h;
		struct op op[2];
	} b = { { "PGMTRACE", OPS_VERSION, 2 }, { { OP_CPU, 0, { 1 } }, { OP_CPU, 0, { 2 } } } };
	struct ops_trace t;
	char why[256];

	(void)state;
	_Static_assert(sizeof(b) == 16 + 24, "a header and two operations");
	assert_null(ops_load_bytes("t", &b, sizeof(b), &t, why, sizeof(why)));
	free(t.ops);
	assert_refused(&b, 12, "t: truncated: the binary header is cut off");
	assert_refused(&b, sizeof(b) - 1, "t: truncated: 2 operations announced, bytes for 1");
	b.h.ops_n = 1;
	assert_refused(&b, sizeof(b), "t: malformed: 1 operations announced, bytes for 2");
	b.h.ops_n = 0xffffffff;
	assert_refused(&b, sizeof(b), "t: truncated: 4294967295 operations announced, bytes for 2");
	b.h.ops_n = 2;
	b.op[1].code = 99;
	assert_refused(&b, sizeof(b), "t: operation 1: unknown operation");
	b.op[1].code = OP_CPU;
	b.op[1].arg[0] = 8;
	assert_refused(&b, sizeof(b), "t: operation 1: an operand is out of range");
	b.h.version = 2;
	assert_refused(&b, sizeof(b), "t: binary version 2, not 1");
}

static void trace_random_damage_never_passes_unseen(void **state)
{
	struct op ops[20];
	struct generate_options g = { .seed = 9, .ops_n = 20 };
	struct ops_rng rng = { 5 };
	unsigned char bytes[16 + sizeof(ops)];
	struct ops_header h = { "PGMTRACE", OPS_VERSION, 20 };

	(void)state;
	ops_generate(ops, &g);
	for (unsigned i = 0; i < 5000; i++) {
		struct ops_trace t;
		char why[256];

		memcpy(bytes, &h, 16);
		memcpy(bytes + 16, ops, sizeof(ops));
		bytes[ops_rng_below(&rng, sizeof(bytes))] ^= (unsigned char)(1 + ops_rng_below(&rng, 255));
		if (!ops_load_bytes("t", bytes, sizeof(bytes) - ops_rng_below(&rng, 2), &t, why,
				    sizeof(why)))
			for (uint32_t j = 0; j < t.ops_n; j++)
				assert_null(ops_fault(&t.ops[j]));
		free(t.ops);
	}
}

static void trace_unwritable_place_leaves_nothing(void **state)
{
	struct op op = parse_op("cpu c1");
	struct ops_trace t;
	char why[256];

	(void)state;
	assert_non_null(ops_save(in_dir("no/such/place"), &op, 1, OPS_TEXT, NULL, why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	assert_non_null(ops_load(in_dir("nothing"), &t, why, sizeof(why)));
	assert_non_null(strstr(why, "nothing: No such file"));
	assert_non_null(ops_load(dir, &t, why, sizeof(why)));
	assert_non_null(strstr(why, "Is a directory"));
}

/* ---- guests ---- */

static void fake_qemu(const char *script)
{
	char text[2000], path[4400];

	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	put_file("qemu-system-x86_64", text, strlen(text), 0755);
	put_file("qemu-system-aarch64", text, strlen(text), 0755);
	put_text("kernel", "no kernel");
	snprintf(path, sizeof(path), "%s:%s", dir, path_was);
	setenv("PATH", path, 1);
}

struct heard {
	unsigned n;
	char verb[16][16], rest[16][80];
	bool stop;
};

static bool hear(void *ctx, const char *verb, const char *rest)
{
	struct heard *h = ctx;

	if (h->n < 16) {
		snprintf(h->verb[h->n], sizeof(h->verb[0]), "%s", verb);
		snprintf(h->rest[h->n++], sizeof(h->rest[0]), "%s", rest);
	}
	return !h->stop;
}

static enum guest_end run_guest(const char *arch, struct heard *h, char why[256])
{
	struct guest_options o = { .arch = arch, .kernel = in_dir("kernel"), .timeout_s = 1,
				   .command = "run=trace" };

	return guest_run(&o, hear, h, why, 256);
}

static void assert_end(const char *script, enum guest_end want, const char *words)
{
	struct heard h = { 0 };
	char why[256];
	enum guest_end got;

	fake_qemu(script);
	got = run_guest("x86_64", &h, why);
	if (got != want)
		fail_msg("'%s' ends with %d (%s), not %d", script, got, why, want);
	if (!strstr(why, words))
		fail_msg("'%s' says '%s', not '%s'", script, why, words);
}

static void guest_lines_are_split(void **state)
{
	struct heard h = { 0 };
	char why[256];

	(void)state;
	fake_qemu("printf 'boot log\\r\\n@boot x86_64 cpus=2\\r\\n@check ok\\n @no\\n@end 0\\n'\n"
		  "exit 1");
	assert_int_equal(run_guest("x86_64", &h, why), GUEST_DONE);
	assert_string_equal(why, "");
	assert_int_equal(h.n, 3);
	assert_string_equal(h.verb[0], "boot");
	assert_string_equal(h.rest[0], "x86_64 cpus=2");
	assert_string_equal(h.verb[1], "check");
	assert_string_equal(h.rest[2], "0");
}

static void guest_each_end_is_told_apart(void **state)
{
	(void)state;
	assert_end("echo @end 0; exit 1", GUEST_DONE, "");
	assert_end("echo @end 3; exit 7", GUEST_FAILED, "@end 3");
	assert_end("echo @end 0; exit 7", GUEST_FAILED, "QEMU status 7");
	assert_end("echo @panic no more frames; exit 1", GUEST_PANIC, "panicked: no more frames");
	assert_end("echo @panic late; echo @end 0; exit 1", GUEST_PANIC, "late");
	assert_end("exit 1", GUEST_NO_MARKER, "without its @end marker (QEMU status 1)");
	assert_end("echo bad option >&2; exit 1", GUEST_NO_MARKER, "bad option");
	assert_end("echo @end", GUEST_FAILED, "QEMU status 0");
	assert_end("echo @boot; exec sleep 30", GUEST_HANG, "no end within the time limit");
	assert_end("echo @end 0; exec sleep 30", GUEST_HANG, "did not stop");
	assert_end("exec >&- 2>&-; exec sleep 30", GUEST_HANG, "time limit");
}

static void guest_other_architecture_has_other_status(void **state)
{
	struct heard h = { 0 };
	char why[256];

	(void)state;
	fake_qemu("echo @end 0; exit 0");
	assert_int_equal(run_guest("aarch64", &h, why), GUEST_DONE);
	assert_int_equal(run_guest("x86_64", &h, why), GUEST_FAILED);
}

static void guest_listener_can_stop_it(void **state)
{
	struct heard h = { .stop = true };
	char why[256];

	(void)state;
	fake_qemu("echo @boot; exec sleep 30");
	assert_int_equal(run_guest("x86_64", &h, why), GUEST_FAILED);
	assert_int_equal(h.n, 1);
}

static void guest_missing_things_are_named(void **state)
{
	struct heard h = { 0 };
	char why[256];

	(void)state;
	fake_qemu("exit 0");
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(run_guest("x86_64", &h, why), GUEST_NO_QEMU);
	assert_non_null(strstr(why, "qemu-system-x86_64 can't be started: No such file"));
	assert_int_equal(unlink(in_dir("kernel")), 0);
	assert_int_equal(run_guest("x86_64", &h, why), GUEST_NO_KERNEL);
	assert_non_null(strstr(why, "no kernel image"));
}

static void guest_gets_the_documented_command_line(void **state)
{
	char why[256], got[2000] = "";
	struct guest_options o = { .arch = "x86_64", .command = "run=bench", .icount = true,
				   .timeout_s = 5 };
	FILE *f;

	(void)state;
	fake_qemu("echo \"$@\" >\"$(dirname \"$0\")\"/args; echo @end 0; exit 1");
	o.kernel = in_dir("kernel");
	assert_int_equal(guest_run(&o, NULL, NULL, why, sizeof(why)), GUEST_DONE);
	f = fopen(in_dir("args"), "r");
	assert_non_null(f);
	assert_non_null(fgets(got, sizeof(got), f));
	fclose(f);
	assert_non_null(strstr(got, "-M q35 -cpu max,-erms -m 256M -smp 2 -display none -nodefaults "
			       "-no-reboot -serial stdio "
			       "-device isa-debug-exit,iobase=0xf4,iosize=4 "));
	assert_non_null(strstr(got, "-accel tcg,thread=single -icount shift=0,sleep=off -seed 1 "
			       "-rtc base=2026-01-01,clock=vm -kernel "));
	assert_non_null(strstr(got, " -append run=bench"));
}

/* ---- exit codes ---- */

static const struct command self = { .name = "test", .operands = "" };

/* Runs a command with its outputs in files. Returns its exit code; *lines_n = lines
 * on stderr. */
static int run_command(int (*run)(const struct command *, int, char **), unsigned *lines_n, ...)
{
	char *argv[16] = { (char *)"test" };
	int argc = 1, code, out = dup(1), err = dup(2), c;
	va_list args;
	FILE *f;

	va_start(args, lines_n);
	while ((argv[argc] = va_arg(args, char *)))
		argc++;
	va_end(args);
	fflush(NULL);
	assert_true(freopen(in_dir("out"), "w", stdout) && freopen(in_dir("err"), "w", stderr));
	code = run(&self, argc, argv);
	fflush(NULL);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	*lines_n = 0;
	f = fopen(in_dir("err"), "r");
	while (f && (c = fgetc(f)) != EOF)
		*lines_n += c == '\n';
	if (f)
		fclose(f);
	return code;
}

#define RUN(run, lines, ...) run_command(run, lines, __VA_ARGS__, (char *)NULL)

static void cli_bad_input_is_one_line_and_two(void **state)
{
	unsigned lines;

	(void)state;
	put_text("bad", "pagemill trace 1\nmop\n");
	assert_int_equal(RUN(cmd_replay, &lines, in_dir("bad")), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_print, &lines, in_dir("missing")), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_replay, &lines, "--body", "abacus", in_dir("bad")), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_replay, &lines, "--cpus", "0", in_dir("bad")), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_replay, &lines, "--flip", "moon:3", in_dir("bad")), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_generate, &lines, "--ops", "many"), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_boot, &lines, "--arch", "pdp11", "--run", "user"), EXIT_USAGE);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_generate, &lines, "-o", in_dir("no/such/place")), EXIT_TOOL);
	assert_int_equal(lines, 1);
}

static void cli_replay_agrees_and_notices_flips(void **state)
{
	unsigned lines;

	(void)state;
	assert_int_equal(RUN(cmd_generate, &lines, "--seed", "8", "--ops", "300", "-o",
			     in_dir("g")), EXIT_AGREE);
	assert_int_equal(lines, 0);
	assert_int_equal(RUN(cmd_replay, &lines, "--body", "model", in_dir("g")), EXIT_AGREE);
	assert_int_equal(lines, 0);
	assert_int_equal(RUN(cmd_replay, &lines, "--body", "model", "--flip", "model:150",
			     in_dir("g")), EXIT_FINDING);
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_minimise, &lines, "--body", "model", in_dir("g"), "-o",
			     in_dir("m")), EXIT_USAGE); /* it shows nothing */
	assert_int_equal(lines, 1);
	assert_int_equal(RUN(cmd_replay, &lines, "--preset", "atlantis", in_dir("g")), EXIT_USAGE);
	assert_int_equal(lines, 1);
}

/// What a guest that is right prints of a trace: its size, the model's digest at each checkpoint and
/// at the end.
static void print_digests(const struct ops_trace *t, char *script, size_t bytes)
{
	const struct body_options o = { 0 };
	uint64_t digest = OPS_DIGEST_START;
	struct ops_names names;
	struct finding f;
	struct body *m;
	size_t at;

	assert_null(body_model.start(&m, &o));
	ops_names_start(&names);
	at = (size_t)snprintf(script, bytes, "echo @boot x86_64 cpus=2 frames=60000\n");
	for (uint32_t i = 0; i < t->ops_n; i++) {
		struct op_outcome out = { .result = RESULT_SKIP };

		if (!ops_names_skip(&names, &t->ops[i])) {
			body_model.perform(m, &t->ops[i], &names, &out);
			ops_names_follow(&names, &t->ops[i], (enum op_result)out.result);
		}
		digest = ops_fold_outcome(digest, i, &t->ops[i], &out);
		if (t->ops[i].code == OP_CHECKPOINT || i + 1 == t->ops_n)
			at += (size_t)snprintf(script + at, bytes - at, "echo @digest %u %016llx\n",
					       i + 1, (unsigned long long)digest);
	}
	assert_true(at < bytes);
	body_model.finish(m, &f);
}

static int replay_in(const char *body, unsigned *lines)
{
	return RUN(cmd_replay, lines, "--body", body, "--timeout", "1", "--kernel",
		   in_dir("kernel"), in_dir("g"));
}

static void cli_guest_digests_are_compared(void **state)
{
	static const char text[] = "pagemill trace 1\nmap s0 w0 p0 +1 rw\ncheckpoint\n"
				   "write s0 w0 p0 +1 v1\ncheckpoint\n";
	char script[1600] = "", bad[1700];
	struct ops_trace t;
	char why[256], *digit;
	unsigned lines;

	(void)state;
	put_text("g", text);
	assert_null(ops_load(in_dir("g"), &t, why, sizeof(why)));
	print_digests(&t, script, 1500);
	free(t.ops);
	snprintf(bad, sizeof(bad), "%secho @check ok; echo @end 0; exit 1", script);
	fake_qemu(bad);
	assert_int_equal(replay_in("qemu-x86_64", &lines), EXIT_AGREE);
	assert_int_equal(lines, 0);
	assert_int_equal(RUN(cmd_replay, &lines, "--body", "qemu-x86_64", "--flip", "model:1",
			     "--kernel", in_dir("kernel"), in_dir("g")), EXIT_FINDING);
	assert_int_equal(lines, 1);
	snprintf(bad, sizeof(bad), "%secho @leak 2; echo @end 0; exit 1", script);
	fake_qemu(bad);
	assert_int_equal(replay_in("qemu-x86_64", &lines), EXIT_FINDING);
	digit = strstr(strstr(script, "@digest"), "\n") - 1;
	*digit = *digit == '0' ? '1' : '0';
	snprintf(bad, sizeof(bad), "%secho @end 0; exit 1", script);
	fake_qemu(bad);
	assert_int_equal(replay_in("qemu-x86_64", &lines), EXIT_FINDING);
	assert_int_equal(lines, 1);
	fake_qemu("echo @end 0; exit 1"); /* no digests at all */
	assert_int_equal(replay_in("qemu-x86_64", &lines), EXIT_FINDING);
}

static void cli_bad_guests_have_their_codes(void **state)
{
	unsigned lines;

	(void)state;
	put_text("g", "pagemill trace 1\ncpu c1\n");
	fake_qemu("echo @panic oh; exit 1");
	assert_int_equal(replay_in("qemu-aarch64", &lines), EXIT_GUEST);
	assert_int_equal(lines, 1);
	fake_qemu("exec sleep 30");
	assert_int_equal(replay_in("qemu-aarch64", &lines), EXIT_GUEST);
	assert_int_equal(lines, 1);
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(replay_in("qemu-aarch64", &lines), EXIT_MISSING);
	assert_int_equal(lines, 1);
	unlink(in_dir("kernel"));
	assert_int_equal(RUN(cmd_boot, &lines, "--arch", "x86_64", "--run", "stress", "--kernel",
			     in_dir("kernel")), EXIT_MISSING);
	assert_int_equal(lines, 1);
	put_text("g", "pagemill trace 1\nfail frame k1\ncpu c1\n");
	assert_int_equal(replay_in("qemu-aarch64", &lines), EXIT_USAGE);
	assert_int_equal(lines, 1);
	put_text("g", "pagemill trace 1\ndrain\ntogether rows x0\ndrain\njoin\n");
	assert_int_equal(replay_in("qemu-aarch64", &lines), EXIT_USAGE);
	assert_int_equal(lines, 1);
}

/* How often a word stands in what the last command printed. */
static unsigned printed(const char *word)
{
	char line[512];
	unsigned n = 0;
	FILE *f = fopen(in_dir("out"), "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, word) != NULL;
	fclose(f);
	return n;
}

static void cli_sections_are_played_and_explained(void **state)
{
	unsigned lines, folded;

	(void)state;
	put_text("g", "pagemill trace 1\nmap s0 w0 p0 +4 rw\nwrite s0 w0 p0 +4 v1\n"
		 "together rows x0\nswitch k4 c1\nfork s0 s1\ncpu c1\nwrite s0 w0 p1 +2 v2\n"
		 "join\nread s1 w0 p0 +4\n");
	assert_int_equal(RUN(cmd_replay, &lines, in_dir("g")), EXIT_AGREE);
	assert_int_equal(lines, 0);
	assert_int_equal(printed("sections=1"), 1);
	/* The model takes turns: its line says so, and nothing is compared with sim's. */
	assert_int_equal(RUN(cmd_replay, &lines, "--body", "model", in_dir("g")), EXIT_AGREE);
	assert_int_equal(lines, 1);
	assert_int_equal(printed("sections="), 0);
	assert_int_equal(RUN(cmd_replay, &lines, "--explain", in_dir("g")), EXIT_AGREE);
	assert_int_equal(printed("o |  4: fork s0 s1"), 2); /* its begin and its end */
	assert_int_equal(printed("4: fork s0 s1: ok"), 1);
	assert_int_equal(printed("| o  6: write s0 w0 p1 +2 v2: ok"), 1);
	assert_true(printed("> |  CPU 1 goes on") >= 1);
	assert_true(printed(" points …") >= 1);
	folded = printed("*");
	assert_int_equal(RUN(cmd_replay, &lines, "--explain=all", in_dir("g")), EXIT_AGREE);
	assert_int_equal(printed(" points …"), 0);
	assert_true(printed("*") > folded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_both_forms_come_back),
		cmocka_unit_test(trace_bad_text_says_line_and_what),
		cmocka_unit_test(trace_text_is_lenient_about_space_and_comments),
		cmocka_unit_test(trace_bad_binary_says_what),
		cmocka_unit_test(trace_random_damage_never_passes_unseen),
		cmocka_unit_test(trace_unwritable_place_leaves_nothing),
		cmocka_unit_test(guest_lines_are_split),
		cmocka_unit_test(guest_each_end_is_told_apart),
		cmocka_unit_test(guest_other_architecture_has_other_status),
		cmocka_unit_test(guest_listener_can_stop_it),
		cmocka_unit_test(guest_missing_things_are_named),
		cmocka_unit_test(guest_gets_the_documented_command_line),
		cmocka_unit_test(cli_bad_input_is_one_line_and_two),
		cmocka_unit_test(cli_replay_agrees_and_notices_flips),
		cmocka_unit_test(cli_guest_digests_are_compared),
		cmocka_unit_test(cli_bad_guests_have_their_codes),
		cmocka_unit_test(cli_sections_are_played_and_explained),
	};

	return cmocka_run_group_tests_name("trace", tests, make_dir, remove_dir);
}
