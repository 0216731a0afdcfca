/* Kernels one after the other, as a pass of a network called them. */

#include <stdint.h>

typedef struct {
    void (*kernel)(const void *call);
    const void *call;
} Entry;

void chatterbox_program(const Entry *entries, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        entries[i].kernel(entries[i].call);
}
