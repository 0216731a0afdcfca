/* Linear layers in float32, and convolutions over time, which are as many of them as they have taps.
 *
 * For one row the weights are read once and used once, so it should take as long as reading them
 * does; for many, as long as multiplying does. oneDNN is as fast as this for a hundred rows, and
 * takes half as long again for a few.
 *
 * The weights lie in the order in which they are used: of BLOCK outputs the first tap's first input, those
 * of the outputs side by side, then the next. A lane of a register belongs to one output, which is added up in the
 * order of the inputs: a row's result is the same to the last bit, whatever rows are beside it.
 */

#include <stdint.h>

#ifndef __AVX512F__
#error "this processor has no AVX-512"
#endif
#include <immintrin.h>

#include "ahead.h"

enum { LANES = 16, PARTS = 3, BLOCK = PARTS * LANES, TILE = 8, GROUP = 6 * TILE };

typedef struct {
    const float *x;       /* (batch, frames before and of the output, in); a frame's inputs lie side by side */
    const void *weights;  /* (blocks, taps, in, BLOCK), float32, or float16 that is widened as it is read */
    const float *bias;    /* (blocks, BLOCK) */
    float *out;           /* (batch, frames, out) */
    int64_t batch, frames, in_features, out_features, taps;
    int64_t x_batch, x_frame, x_tap; /* strides in elements */
    int32_t weights_are_half, threads;
} Linear;

typedef uint16_t Half;

static inline __m512 widened(const Half *from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}

static inline __attribute__((always_inline)) void
multiply(
    const Linear *l, int64_t batch, int64_t frame, int64_t block, const int rows, const int half
) {
    __m512 sums[TILE][PARTS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int p = 0; p < PARTS; p++)
            sums[r][p] = _mm512_loadu_ps(l->bias + block * BLOCK + p * LANES);
    int64_t w_at = block * BLOCK * l->taps * l->in_features;
    for (int64_t tap = 0; tap < l->taps; tap++) {
        const float *x = l->x + batch * l->x_batch + frame * l->x_frame + tap * l->x_tap;
        for (int64_t i = 0; i < l->in_features; i++, w_at += BLOCK) {
            __m512 w[PARTS];
#pragma GCC unroll 3
            for (int p = 0; p < PARTS; p++) {
                int64_t at = w_at + p * LANES;
                const char *from = (const char *)l->weights + at * (half ? sizeof(Half) : sizeof(float));
                w[p] = half ? widened((const Half *)from) : _mm512_loadu_ps((const float *)from);
                _mm_prefetch(from + AHEAD, _MM_HINT_T1);
            }
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                __m512 part = _mm512_set1_ps(x[r * l->x_frame + i]);
#pragma GCC unroll 3
                for (int p = 0; p < PARTS; p++)
                    /* As an intrinsic, gcc 12 keeps sums in memory. */
                    __asm__("vfmadd231ps %2, %1, %0" : "+v"(sums[r][p]) : "v"(part), "v"(w[p]));
            }
        }
    }
    float *out = l->out + (batch * l->frames + frame) * l->out_features;
#pragma GCC unroll 3
    for (int p = 0; p < PARTS; p++) {
        int64_t place = block * BLOCK + p * LANES, left = l->out_features - place;
        __mmask16 mask = left >= LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
            _mm512_mask_storeu_ps(out + r * l->out_features + place, mask, sums[r][p]);
    }
}

static inline __attribute__((always_inline)) void
multiply_group(const Linear *l, int64_t batch, int64_t first, int64_t block, const int half) {
    int64_t frame = first, end = first + GROUP < l->frames ? first + GROUP : l->frames;
    for (; frame + TILE <= end; frame += TILE)
        multiply(l, batch, frame, block, TILE, half);
    switch (end - frame) {
    case 7: multiply(l, batch, frame, block, 7, half); break;
    case 6: multiply(l, batch, frame, block, 6, half); break;
    case 5: multiply(l, batch, frame, block, 5, half); break;
    case 4: multiply(l, batch, frame, block, 4, half); break;
    case 3: multiply(l, batch, frame, block, 3, half); break;
    case 2: multiply(l, batch, frame, block, 2, half); break;
    case 1: multiply(l, batch, frame, block, 1, half); break;
    }
}

void chatterbox_fp32_linear(const Linear *l) {
    int64_t blocks = (l->out_features + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(3) schedule(dynamic) num_threads(l->threads)
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t batch = 0; batch < l->batch; batch++)
            for (int64_t frame = 0; frame < l->frames; frame += GROUP)
                if (l->weights_are_half)
                    multiply_group(l, batch, frame, block, 1);
                else
                    multiply_group(l, batch, frame, block, 0);
}
