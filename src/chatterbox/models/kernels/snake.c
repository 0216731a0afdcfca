/* The vocoder's activation, x + sin^2(a x) / a with one a per channel, in one pass over the numbers.
 *
 * torch takes four passes, and in bfloat16 rounds after each. Here sin^2(y) is computed of y less the nearest
 * multiple of pi, to 3e-7, and what is stored is rounded once.
 */

#include <math.h>
#include <stdint.h>

#ifndef __AVX512F__
#error "this processor has no AVX-512"
#endif
#include <immintrin.h>

enum { LANES = 16 };
enum { WORTH_ANOTHER_THREAD = 16384 }; /* numbers, some 10 us */

typedef struct {
    const void *x;
    void *out;
    const float *alpha, *inverse; /* (channels,) */
    int64_t count, channels;      /* frames; channels lie side by side, a multiple of LANES */
    int32_t is_bfloat16, threads;
} Snake;

static inline __m512 snake(__m512 x, __m512 alpha, __m512 inverse) {
    __m512 y = _mm512_mul_ps(x, alpha);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(y, _mm512_set1_ps(0.318309886f)), 0);
    y = _mm512_fnmadd_ps(n, _mm512_set1_ps(3.140625f), y); /* n pi in two parts, the first exact */
    y = _mm512_fnmadd_ps(n, _mm512_set1_ps(9.67653590e-4f), y);
    __m512 square = _mm512_mul_ps(y, y), wave = _mm512_set1_ps(-2.39346967e-8f);
    static const float factors[] = {2.75279684e-6f, -1.98409181e-4f, 8.33333149e-3f, -1.66666666e-1f};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        wave = _mm512_fmadd_ps(wave, square, _mm512_set1_ps(factors[i]));
    wave = _mm512_fmadd_ps(_mm512_mul_ps(wave, square), y, y);
    return _mm512_fmadd_ps(_mm512_mul_ps(wave, wave), inverse, x);
}

static inline __m512 widened(const uint16_t *from) {
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

static inline void store_rounded(uint16_t *to, __m512 x) { /* to the nearest, of two the even one */
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

void chatterbox_snake(const Snake *s) {
    int useful = 1 + s->count * s->channels / WORTH_ANOTHER_THREAD;
    int threads = useful < s->threads ? useful : s->threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t frame = 0; frame < s->count; frame++)
        for (int64_t c = 0; c < s->channels; c += LANES) {
            int64_t at = frame * s->channels + c;
            __m512 alpha = _mm512_loadu_ps(s->alpha + c), inverse = _mm512_loadu_ps(s->inverse + c);
            if (s->is_bfloat16) {
                __m512 x = widened((const uint16_t *)s->x + at);
                store_rounded((uint16_t *)s->out + at, snake(x, alpha, inverse));
            } else {
                __m512 x = _mm512_loadu_ps((const float *)s->x + at);
                _mm512_storeu_ps((float *)s->out + at, snake(x, alpha, inverse));
            }
        }
}
