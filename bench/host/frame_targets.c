/// Times are nanoseconds an operation (a pair, where the row says so), on 4 GiB.
/// LLFree's figures: its current C code on a machine like that of FRAME_TARGETS_CAS_NS.
#include "frame_targets.h"

#include <stddef.h>

#define NONE { "-", "-" }

const struct frame_target frame_targets[] = {
	{ "repeat o0, pair", "repeat.o0", { "40.7", "40.7" }, "<= 2.5", { 2.5, 2.5 }, 0, 0 },
	{ "bulk o0, get", "bulk.o0.get", { "25.1", "25.5" }, "<= 2.5", { 2.5, 2.5 }, 0, 0 },
	{ "bulk o0, put", "bulk.o0.put", { "16.0", "16.6" }, "<= 2.5", { 2.5, 2.5 }, 0, 0 },
	{ "bulk by calls of 64, get", "batch64.o0.get", NONE, "<= 0.7", { 0.7, 0.7 }, 0, 0 },
	{ "bulk by calls of 64, put", "batch64.o0.put", NONE, "<= 1.0", { 1.0, 1.0 }, 0, 0 },
	{ "rand o0, get", "rand.o0.get", { "25.0", "25.2" }, "<= 3", { 3, 3 }, 0, 0 },
	{ "rand o0, put", "rand.o0.put", { "16.0", "28.5" }, "<= 9", { 9, 9 }, 0, 0 },
	{ "churn90 o0, pair", "churn90.o0", { "128-134", "136-182" }, "<= 5", { 5, 5 }, 0, 0 },
	{ "churn90 o0, get p50", "churn90.o0.p50", NONE, "-", { -1, -1 }, 0, true },
	{ "churn90 o0, get p99", "churn90.o0.p99", { "210", "240" }, "<= 20", { 20, 20 }, 0, true },
	{ "churn90 o0, get p99.9", "churn90.o0.p999", NONE, "-", { -1, -1 }, 0, true },
	{ "burst o0, pair", "burst.o0", { "56.7", "49.2" }, "<= 6", { 6, 6 }, 0, 0 },
	{ "xbatch o0, get", "xbatch.o0.get", { "-", "25.4" }, "<= 3", { -1, 3 }, 0, 0 },
	{ "xbatch o0, remote put", "xbatch.o0.put", { "-", "16.4" }, "<= 4", { -1, 4 }, 0, 0 },
	{ "mixed, pair", "mixed", { "44.8", "61.3" }, "<= 14", { 14, 14 }, 0, 0 },
	{ "repeat o9, pair", "repeat.o9", { "30.5", "30.3" }, "<= 3", { 3, 3 }, 0, 0 },
	{ "bulk o9, get", "bulk.o9.get", { "33.1", "38.4" }, "<= 6", { 6, 6 }, 0, 0 },
	{ "bulk o9, put", "bulk.o9.put", { "12.0", "13.2" }, "<= 6", { 6, 6 }, 0, 0 },
	{ "churn90 o9, pair", "churn90.o9", { "88-90", "98-134" }, "<= 8", { 8, 8 }, 0, 0 },
	{ "failed get when full", "failed.o0", { "660", "659" }, "<= 12", { 12, 12 }, 0, 0 },
	{ "antifrag, blocks of 1024", "antifrag.blocks", { "971", "960" }, ">= 1005/1000",
	  { 1005, 1000 }, true, 0 },
	{ "deep holes, blocks of 204", "deep.blocks", NONE, ">= 180", { 180, 180 }, true, 0 },
	{ "metadata, B a frame", "meta.policy", { "0.142", "-" }, "<= 0.142", { 0.142, -1 }, 0, 0 },
	{ "with all fields, B a frame", "meta.all", NONE, "<= 16", { 16, -1 }, 0, 0 },
	{ "init 4 GiB, ns", "init", { "20000", "-" }, "<= 20000", { 20000, -1 }, 0, 0 },
	{ "init 4 GiB untouched, ns", "init.cold", NONE, "-", { -1, -1 }, 0, 0 },
	{ "init 64 GiB, ns", "init.64g", { "1000000", "-" }, "<= 1000000", { 1000000, -1 }, 0, 0 },
	{ "init 1 TiB untouched, ns", "init.cold.1t", NONE, "-", { -1, -1 }, 0, 0 },
	{ NULL, NULL, NONE, NULL, { 0, 0 }, 0, 0 },
};
