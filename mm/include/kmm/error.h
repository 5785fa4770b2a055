/// Errors are values with names. A function that returns one other than
/// KMM_OK leaves all state as it was.
#ifndef KMM_ERROR_H
#define KMM_ERROR_H

#include <kmm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMM_ERRORS(X)                                                        \
	X(KMM_OK, "ok")                                                      \
	X(KMM_ENOMEM, "out of memory")                                       \
	X(KMM_EINVAL, "invalid argument")                                    \
	X(KMM_EEXIST, "already there")                                       \
	X(KMM_ENOENT, "not there")                                           \
	X(KMM_EACCES, "not allowed")                                         \
	X(KMM_ELIMIT, "limit of this configuration reached")                 \
	X(KMM_EUNSUPPORTED, "not supported by this configuration")           \
	X(KMM_EBUSY, "in use")                                               \
	X(KMM_EDOUBLEFREE, "already free")                                   \
	X(KMM_EWRONGORDER, "freed with another order than allocated")        \
	X(KMM_ECORRUPT, "metadata corrupt")

enum kmm_error {
#define KMM_ERROR_ENUM(name, text) name,
	KMM_ERRORS(KMM_ERROR_ENUM)
#undef KMM_ERROR_ENUM
	KMM_ERROR_N
};

/// The constant's own name ("KMM_ENOMEM"); "KMM_E?" for a value out of range.
const char *kmm_error_name(enum kmm_error e);

/// A short English phrase, no trailing stop.
const char *kmm_error_text(enum kmm_error e);

#ifdef __cplusplus
}
#endif
#endif
