/* Linear layers in 8-bit integers: x (count, in), weights for `out` outputs, out (count, out).
 *
 * For one row the weights are read once and used once, so it should take as long as reading them
 * does; for many, as long as multiplying does. Rounding x, multiplying and scaling back are one call
 * here, of torch six.
 *
 * The weights lie in the order in which they are used: of BLOCK outputs the first FOUR inputs, those of
 * each output side by side, then the next FOUR. A lane of a register belongs to one output, so that nothing
 * is to be added up across lanes.
 *
 * Every row of x has one scale, every output another; between them all is exact. Rounded
 * numbers of x are shifted by 128, for the processor multiplies unsigned by signed.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if !defined(__AVX512VNNI__) || !defined(__AVX512F__)
#error "this processor has no AVX-512 VNNI"
#endif
#include <immintrin.h>

#include "ahead.h"

enum { LANES = 16, PARTS = 4, BLOCK = PARTS * LANES, FOUR = 4, TILE = 6, ZERO = 128, LARGEST = 127 };
enum { FEW_ROWS = 8, GROUP = 8 * TILE }; /* rows that one thread rounds; that it multiplies in one go */

typedef struct {
    const float *x;
    uint8_t *rounded;       /* (count, in), room for x as integers */
    float *x_scales;        /* (count,), likewise */
    const int8_t *weights;  /* (blocks, in / FOUR, BLOCK, FOUR) */
    const float *scales;    /* (blocks, BLOCK) */
    const int32_t *shifts;  /* (blocks, BLOCK): ZERO times the sum of an output's weights */
    const float *bias;      /* (blocks, BLOCK) */
    float *out;
    int64_t count, in_features, out_features; /* in: a multiple of LANES */
    int32_t threads;
} Linear;

static void round_row(const Linear *l, int64_t row) {
    const float *x = l->x + row * l->in_features;
    uint8_t *rounded = l->rounded + row * l->in_features;
    __m512 most = _mm512_setzero_ps();
    for (int64_t i = 0; i < l->in_features; i += LANES)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
    float scale = fmaxf(_mm512_reduce_max_ps(most), 1e-12f) / LARGEST;
    l->x_scales[row] = scale;
    __m512 inverse = _mm512_set1_ps(1 / scale);
    __m512i zero = _mm512_set1_epi32(ZERO);
    for (int64_t i = 0; i < l->in_features; i += LANES) {
        __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), inverse));
        __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(whole, zero));
        _mm_storeu_si128((__m128i *)(rounded + i), bytes);
    }
}

static inline __attribute__((always_inline)) void
multiply(const Linear *l, int64_t row, int64_t block, const int rows) {
    __m512i sums[TILE][PARTS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++)
            sums[r][p] = _mm512_setzero_si512();
    const uint8_t *x = l->rounded + row * l->in_features;
    const int8_t *weights = l->weights + block * BLOCK * l->in_features;
    for (int64_t i = 0; i < l->in_features; i += FOUR) {
        __m512i w[PARTS];
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++) {
            const char *from = (const char *)weights + i * BLOCK + p * LANES * FOUR;
            w[p] = _mm512_loadu_si512(from);
            _mm_prefetch(from + AHEAD, _MM_HINT_T1);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + r * l->in_features + i, sizeof four);
            __m512i part = _mm512_set1_epi32(four);
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; p++)
                /* As an intrinsic, gcc 12 keeps the sums in memory: half the speed. */
                __asm__("vpdpbusd %2, %1, %0" : "+v"(sums[r][p]) : "v"(part), "v"(w[p]));
        }
    }
#pragma GCC unroll 4
    for (int p = 0; p < PARTS; p++) {
        int64_t place = block * BLOCK + p * LANES, left = l->out_features - place;
        __mmask16 mask = left >= LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
        __m512i shifts = _mm512_loadu_si512(l->shifts + place);
        __m512 scales = _mm512_loadu_ps(l->scales + place), bias = _mm512_loadu_ps(l->bias + place);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[r][p], shifts));
            __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(l->x_scales[row + r]));
            float *to = l->out + (row + r) * l->out_features + place;
            _mm512_mask_storeu_ps(to, mask, _mm512_fmadd_ps(sum, scale, bias));
        }
    }
}

static void multiply_group(const Linear *l, int64_t first, int64_t block) {
    int64_t row = first, end = first + GROUP < l->count ? first + GROUP : l->count;
    for (; row + TILE <= end; row += TILE)
        multiply(l, row, block, TILE);
    switch (end - row) {
    case 5: multiply(l, row, block, 5); break;
    case 4: multiply(l, row, block, 4); break;
    case 3: multiply(l, row, block, 3); break;
    case 2: multiply(l, row, block, 2); break;
    case 1: multiply(l, row, block, 1); break;
    }
}

void chatterbox_int8_linear(const Linear *l) {
    int64_t blocks = (l->out_features + BLOCK - 1) / BLOCK;
    int few = l->count <= FEW_ROWS; /* to wait for the other threads would take longer */
    for (int64_t row = 0; few && row < l->count; row++)
        round_row(l, row);
#pragma omp parallel num_threads(l->threads)
    {
        if (!few) {
#pragma omp for schedule(static)
            for (int64_t row = 0; row < l->count; row++)
                round_row(l, row);
        }
#pragma omp for collapse(2) schedule(dynamic) nowait
        for (int64_t block = 0; block < blocks; block++)
            for (int64_t row = 0; row < l->count; row += GROUP)
                multiply_group(l, row, block);
    }
}
