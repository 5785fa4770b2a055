/// What the kernels have of the C library's <string.h>: mem.c defines it. It comes before the
/// library's own on the include path, so that files that a host shares find this one here.
#ifndef GLUE_STRING_H
#define GLUE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
int strncmp(const char *a, const char *b, size_t bytes);

#endif
