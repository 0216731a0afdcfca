/* e to the power of x <= 0, to 3 in the last place: 2^n times a Taylor series around 0. */

#include <immintrin.h>

static inline __m512 exponential(__m512 x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-87));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x); /* n ln 2 in two parts */
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
    static const float factors[] = {1 / 120.f, 1 / 24.f, 1 / 6.f, 1 / 2.f, 1, 1};
    __m512 y = _mm512_set1_ps(1 / 720.f);
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(factors[i]));
    return _mm512_scalef_ps(y, n);
}
