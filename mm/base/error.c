/// Names and phrases of enum kmm_error, both from the one list.
#include <kmm/error.h>

static const char *const error_names[] = {
#define ERROR_NAME(name, text) #name,
	KMM_ERRORS(ERROR_NAME)
#undef ERROR_NAME
};

static const char *const error_texts[] = {
#define ERROR_TEXT(name, text) text,
	KMM_ERRORS(ERROR_TEXT)
#undef ERROR_TEXT
};

const char *kmm_error_name(enum kmm_error e)
{
	return (unsigned)e < KMM_ERROR_N ? error_names[e] : "KMM_E?";
}

const char *kmm_error_text(enum kmm_error e)
{
	return (unsigned)e < KMM_ERROR_N ? error_texts[e] : "unknown error";
}
