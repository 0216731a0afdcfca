/* What stands between linear layers: norms of rows, activations, sums, turns, in one pass over the numbers.
 *
 * A decode step has a few thousand numbers there. torch's operations on them take ten times as long to be called
 * as to be computed, and its gelu works on one thread.
 *
 * A row is worked through by itself and in order: the same to the last bit, whatever rows are beside it.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef __AVX512F__
#error "this processor has no AVX-512"
#endif
#include <immintrin.h>

#include "exponential.h"

enum { LANES = 16 };
enum { WORTH_ANOTHER_THREAD = 32768 }; /* numbers, some 10 us */

typedef struct {
    const float *x;                 /* (count, width) */
    float *out;
    const float *weight, *bias;     /* (width,); no bias: the mean stays, as in RMSNorm */
    float eps;
    int32_t threads;
    int64_t count, width;           /* a multiple of LANES */
} Norm;

typedef struct {
    const float *x; /* (count, width) */
    float *out;
    int64_t count, width;
    int32_t kind, threads;
} Activation;

typedef struct {
    const float *x, *y; /* (count, width) */
    float *out;
    int64_t count, width;
    int32_t threads;
} Sum;

typedef struct {
    const float *x;     /* (count, width), rows `stride` apart */
    const float *turns; /* (count, channels): cosine and sine of each pair */
    float *out;         /* (count, width) */
    int64_t count, width, stride, channels; /* width: a multiple of channels, that of LANES */
    int32_t threads;
} Turn;

enum { GELU, GELU_TANH, SILU_GATE }; /* the last: silu of the first half of a row times the second */

static inline int useful(int64_t numbers, int32_t threads) {
    int64_t wanted = 1 + numbers / WORTH_ANOTHER_THREAD;
    return wanted < threads ? (int)wanted : threads;
}

static void norm_row(const Norm *n, const float *x, float *out) {
    __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    float mean = 0;
    if (n->bias != NULL) {
        for (int64_t i = 0; i < n->width; i += LANES)
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
        mean = _mm512_reduce_add_ps(sum) / n->width;
    }
    __m512 middle = _mm512_set1_ps(mean);
    for (int64_t i = 0; i < n->width; i += LANES) {
        __m512 apart = _mm512_sub_ps(_mm512_loadu_ps(x + i), middle);
        squares = _mm512_fmadd_ps(apart, apart, squares);
    }
    float power = _mm512_reduce_add_ps(squares) / n->width;
    __m512 scale = _mm512_set1_ps(1 / sqrtf(power + n->eps));
    for (int64_t i = 0; i < n->width; i += LANES) {
        __m512 apart = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), middle), scale);
        __m512 weight = _mm512_loadu_ps(n->weight + i);
        __m512 bias = n->bias == NULL ? _mm512_setzero_ps() : _mm512_loadu_ps(n->bias + i);
        _mm512_storeu_ps(out + i, _mm512_fmadd_ps(apart, weight, bias));
    }
}

void chatterbox_norm(const Norm *n) {
    int threads = useful(n->count * n->width, n->threads);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < n->count; row++)
        norm_row(n, n->x + row * n->width, n->out + row * n->width);
}

/* 1 / (1 + e^-x), of the smaller of the two shares, so that neither is lost to rounding */
static inline __m512 logistic(__m512 x) {
    __m512 one = _mm512_set1_ps(1);
    __m512 power = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(x)));
    __m512 share = _mm512_div_ps(one, _mm512_add_ps(one, power));
    __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_mul_ps(share, below, share, power);
}

/* The share of a normal distribution that lies below x: Abramowitz and Stegun, 7.1.26, to 1e-7 */
static inline __m512 normal_share(__m512 x) {
    __m512 one = _mm512_set1_ps(1), half = _mm512_set1_ps(0.5f);
    __m512 y = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.707106781f));
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(y, _mm512_set1_ps(0.3275911f), one));
    static const float factors[] = {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
    __m512 series = _mm512_set1_ps(1.061405429f);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        series = _mm512_fmadd_ps(series, t, _mm512_set1_ps(factors[i]));
    __m512 power = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(y, y)));
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(series, t), _mm512_mul_ps(power, half));
    __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
    return _mm512_mask_sub_ps(tail, above, one, tail);
}

static inline __m512 activated(__m512 x, int32_t kind) {
    if (kind == GELU)
        return _mm512_mul_ps(x, normal_share(x));
    if (kind == SILU_GATE)
        return _mm512_mul_ps(x, logistic(x));
    /* (1 + tanh(y)) / 2 is the logistic function of 2y */
    __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
    __m512 inner = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x);
    return _mm512_mul_ps(x, logistic(_mm512_mul_ps(inner, _mm512_set1_ps(1.59576912f))));
}

void chatterbox_activation(const Activation *a) {
    int threads = useful(a->count * a->width, a->threads);
    int64_t out_width = a->kind == SILU_GATE ? a->width / 2 : a->width;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < a->count; row++) {
        const float *x = a->x + row * a->width;
        float *out = a->out + row * out_width;
        for (int64_t i = 0; i < out_width; i += LANES) {
            __m512 y = activated(_mm512_loadu_ps(x + i), a->kind);
            if (a->kind == SILU_GATE)
                y = _mm512_mul_ps(y, _mm512_loadu_ps(x + out_width + i));
            _mm512_storeu_ps(out + i, y);
        }
    }
}

void chatterbox_add(const Sum *s) {
    int threads = useful(s->count * s->width, s->threads);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < s->count; row++)
        for (int64_t i = row * s->width; i < (row + 1) * s->width; i += LANES) {
            __m512 x = _mm512_loadu_ps(s->x + i), y = _mm512_loadu_ps(s->y + i);
            _mm512_storeu_ps(s->out + i, _mm512_add_ps(x, y));
        }
}

/* Pairs of neighbours as complex numbers, turned by the angle of their row and channel. */
void chatterbox_turn(const Turn *t) {
    int threads = useful(t->count * t->width, t->threads);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < t->count; row++) {
        const float *x = t->x + row * t->stride, *turns = t->turns + row * t->channels;
        float *out = t->out + row * t->width;
        for (int64_t i = 0; i < t->width; i += LANES) {
            __m512 pairs = _mm512_loadu_ps(x + i), by = _mm512_loadu_ps(turns + i % t->channels);
            __m512 cosines = _mm512_moveldup_ps(by), sines = _mm512_movehdup_ps(by);
            __m512 crossed = _mm512_mul_ps(_mm512_permute_ps(pairs, 0xb1), sines);
            _mm512_storeu_ps(out + i, _mm512_fmaddsub_ps(pairs, cosines, crossed));
        }
    }
}
