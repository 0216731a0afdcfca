/* Linear layers in 8-bit integers for a few rows: x (count, in), weights (out, in), out (count, out).
 *
 * For one row the weights are read once and used once, so it should take as long as reading them
 * does. Rounding x, multiplying and scaling back are one call here, of torch six.
 *
 * Every row of x has one scale, every row of the weights another; between them all is exact. Rounded
 * numbers of x are shifted by 128, for the processor multiplies unsigned by signed.
 */

#include <math.h>
#include <stdint.h>

#if !defined(__AVX512VNNI__) || !defined(__AVX512F__)
#error "this processor has no AVX-512 VNNI"
#endif
#include <immintrin.h>

enum { BLOCK = 64, OUTS = 4, MOST_ROWS = 4, ZERO = 128, LARGEST = 127, CHUNK = 16 };
enum { AHEAD = 8192 }; /* bytes; a row of weights is too short for the processor to see a stream in */

typedef struct {
    const float *x;
    uint8_t *rounded;       /* (count, in), room for x as integers */
    float *x_scales;        /* (count,), likewise */
    const int8_t *weights;  /* (out, in) */
    const float *scales;    /* (out,) */
    const int32_t *shifts;  /* (out,): ZERO times the sum of a row of the weights */
    const float *bias;      /* (out,) */
    float *out;
    int64_t count, in_features, out_features; /* multiples: in of BLOCK, out of OUTS */
    int32_t threads;
} Linear;

static void round_row(const float *x, int64_t size, uint8_t *rounded, float *scale) {
    __m512 most = _mm512_setzero_ps();
    for (int64_t i = 0; i < size; i += 16)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
    *scale = fmaxf(_mm512_reduce_max_ps(most), 1e-12f) / LARGEST;
    __m512 inverse = _mm512_set1_ps(1 / *scale);
    __m512i zero = _mm512_set1_epi32(ZERO);
    for (int64_t i = 0; i < size; i += 16) {
        __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), inverse));
        __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(whole, zero));
        _mm_storeu_si128((__m128i *)(rounded + i), bytes);
    }
}

static inline __m512i interleaved_sum(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

/* The sums of four vectors, in fewer instructions than one by one. */
static inline __m128i sum_of_each(const __m512i x[OUTS]) {
    __m512i ab = interleaved_sum(x[0], x[1]), cd = interleaved_sum(x[2], x[3]);
    __m512i quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i halves = _mm256_add_epi32(
        _mm512_castsi512_si256(quarters), _mm512_extracti64x4_epi64(quarters, 1)
    );
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

static inline __attribute__((always_inline)) void
multiply(const Linear *l, int64_t row, int64_t out, const int rows) {
    __m512i sums[MOST_ROWS][OUTS];
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < OUTS; o++)
            sums[r][o] = _mm512_setzero_si512();
    const uint8_t *x = l->rounded + row * l->in_features;
    const int8_t *weights = l->weights + out * l->in_features;
    for (int64_t i = 0; i < l->in_features; i += BLOCK) {
        __m512i w[OUTS];
        for (int o = 0; o < OUTS; o++) {
            const int8_t *from = weights + o * l->in_features + i;
            w[o] = _mm512_loadu_si512(from);
            _mm_prefetch((const char *)from + AHEAD, _MM_HINT_T0);
        }
        for (int r = 0; r < rows; r++) {
            __m512i part = _mm512_loadu_si512(x + r * l->in_features + i);
            for (int o = 0; o < OUTS; o++)
                sums[r][o] = _mm512_dpbusd_epi32(sums[r][o], part, w[o]);
        }
    }
    __m128i shifts = _mm_loadu_si128((const __m128i *)(l->shifts + out));
    __m128 scales = _mm_loadu_ps(l->scales + out), bias = _mm_loadu_ps(l->bias + out);
    for (int r = 0; r < rows; r++) {
        __m128 sum = _mm_cvtepi32_ps(_mm_sub_epi32(sum_of_each(sums[r]), shifts));
        __m128 scale = _mm_mul_ps(scales, _mm_set1_ps(l->x_scales[row + r]));
        float *to = l->out + (row + r) * l->out_features + out;
        _mm_storeu_ps(to, _mm_fmadd_ps(sum, scale, bias));
    }
}

static void multiply_all(const Linear *l, int64_t out) {
    int64_t row = 0;
    for (; row + MOST_ROWS <= l->count; row += MOST_ROWS)
        multiply(l, row, out, MOST_ROWS);
    if (row + 2 <= l->count) {
        multiply(l, row, out, 2);
        row += 2;
    }
    if (row < l->count)
        multiply(l, row, out, 1);
}

void chatterbox_int8_linear(const Linear *l) {
    for (int64_t row = 0; row < l->count; row++)
        round_row(
            l->x + row * l->in_features, l->in_features, l->rounded + row * l->in_features,
            l->x_scales + row
        );
#pragma omp parallel for schedule(dynamic, CHUNK) num_threads(l->threads)
    for (int64_t out = 0; out < l->out_features; out += OUTS)
        multiply_all(l, out);
}
