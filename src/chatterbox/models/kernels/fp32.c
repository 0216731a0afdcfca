/* Linear layers in float32: x (count, in), weights for `out` outputs, out (count, out).
 *
 * For one row the weights are read once and used once, so it should take as long as reading them
 * does; for many, as long as multiplying does. oneDNN is as fast as this for a hundred rows, and
 * takes half as long again for a few.
 *
 * The weights lie in the order in which they are used: of BLOCK outputs the first input, those of the outputs
 * side by side, then the next. A lane of a register belongs to one output, which is added up in the
 * order of the inputs: a row's result is the same to the last bit, whatever rows are beside it.
 */

#include <stdint.h>

#ifndef __AVX512F__
#error "this processor has no AVX-512"
#endif
#include <immintrin.h>

enum { LANES = 16, PARTS = 3, BLOCK = PARTS * LANES, TILE = 8, GROUP = 6 * TILE };

typedef struct {
    const float *x;
    const float *weights; /* (blocks, in, BLOCK) */
    const float *bias;    /* (blocks, BLOCK) */
    float *out;
    int64_t count, in_features, out_features;
    int32_t threads;
} Linear;

static inline __attribute__((always_inline)) void
multiply(const Linear *l, int64_t row, int64_t block, const int rows) {
    __m512 sums[TILE][PARTS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int p = 0; p < PARTS; p++)
            sums[r][p] = _mm512_loadu_ps(l->bias + block * BLOCK + p * LANES);
    const float *x = l->x + row * l->in_features;
    const float *weights = l->weights + block * BLOCK * l->in_features;
    for (int64_t i = 0; i < l->in_features; i++) {
        __m512 w[PARTS];
#pragma GCC unroll 3
        for (int p = 0; p < PARTS; p++)
            w[p] = _mm512_loadu_ps(weights + i * BLOCK + p * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            __m512 part = _mm512_set1_ps(x[r * l->in_features + i]);
#pragma GCC unroll 3
            for (int p = 0; p < PARTS; p++)
                /* As an intrinsic, gcc 12 keeps sums in memory. */
                __asm__("vfmadd231ps %2, %1, %0" : "+v"(sums[r][p]) : "v"(part), "v"(w[p]));
        }
    }
#pragma GCC unroll 3
    for (int p = 0; p < PARTS; p++) {
        int64_t place = block * BLOCK + p * LANES, left = l->out_features - place;
        __mmask16 mask = left >= LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
            _mm512_mask_storeu_ps(l->out + (row + r) * l->out_features + place, mask, sums[r][p]);
    }
}

static void multiply_group(const Linear *l, int64_t first, int64_t block) {
    int64_t row = first, end = first + GROUP < l->count ? first + GROUP : l->count;
    for (; row + TILE <= end; row += TILE)
        multiply(l, row, block, TILE);
    switch (end - row) {
    case 7: multiply(l, row, block, 7); break;
    case 6: multiply(l, row, block, 6); break;
    case 5: multiply(l, row, block, 5); break;
    case 4: multiply(l, row, block, 4); break;
    case 3: multiply(l, row, block, 3); break;
    case 2: multiply(l, row, block, 2); break;
    case 1: multiply(l, row, block, 1); break;
    }
}

void chatterbox_fp32_linear(const Linear *l) {
    int64_t blocks = (l->out_features + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(l->threads)
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t row = 0; row < l->count; row += GROUP)
            multiply_group(l, row, block);
}
