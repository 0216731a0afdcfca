/* Attention of a decode step: every row has one new position, and sees itself up to there.
 *
 * A step reads all keys and values once and does little with them, so it should take as long as
 * reading does. torch's fused kernel, made for many queries, takes twice that; rows of different
 * lengths, which it wants called one by one, share the threads here.
 *
 * A head is worked through alone and in order, whoever else is in the batch: the same to the last bit.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#define HAS_HALVES
#endif

#include "ahead.h"

#define INLINE static inline __attribute__((always_inline))

enum { WIDTH = 64, LANES = 16, PARTS = WIDTH / LANES };
enum { WORTH_ANOTHER_THREAD = 1024 }; /* positions of a head, some 30 us */

typedef float Floats __attribute__((vector_size(64)));
typedef float Eight __attribute__((vector_size(32)));
typedef uint16_t Half;
typedef float Four __attribute__((vector_size(16)));

/* Strides count elements; what is new has its channels side by side. */
typedef struct {
    const float *queries, *new_keys, *new_values;
    int64_t query_strides[2], key_strides[2], value_strides[2]; /* of a row, of a head */
    void *keys, *values;    /* (rows, heads, max_length, WIDTH), float32, or float16 widened as it is read */
    const int64_t *rows;    /* which of them */
    const int64_t *lengths; /* with the new position */
    float *out;             /* (count, heads, WIDTH) */
    int64_t count, heads, max_length;
    int32_t are_half, threads;
} Attention;

static inline Floats load(const float *from) {
    Floats value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline Four folded(Floats x) {
    Eight low, high;
    memcpy(&low, &x, sizeof low);
    memcpy(&high, (const char *)&x + sizeof low, sizeof high);
    low += high;
    Four left, right;
    memcpy(&left, &low, sizeof left);
    memcpy(&right, (const char *)&low + sizeof left, sizeof right);
    return left + right;
}

/* The sums of four vectors, in fewer instructions than one by one. */
static inline Four sums(const Floats x[4]) {
    Four a = folded(x[0]), b = folded(x[1]), c = folded(x[2]), d = folded(x[3]);
    Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

/* e to the power of x <= 0, to 3 in the last place: 2^n times a Taylor series around 0. */
static inline float exponential(float x) {
    x = x < -87 ? -87 : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f; /* n ln 2 in two parts, the first exact */
    float y = 1 + r * (1 + r * (1 / 2.f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r / 720)))));
    uint32_t power = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &power, sizeof scale);
    return y * scale;
}

/* A part of a key or value, which lies among many that are read in order. */
INLINE Floats read(const char *from, int64_t at, const int half) {
    from += at * (half ? sizeof(Half) : sizeof(float));
    __builtin_prefetch(from + AHEAD, 0, 2);
#ifdef HAS_HALVES
    if (half)
        return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
#endif
    return load((const float *)from);
}

INLINE void keep(char *to, const float *new, const int half) {
#ifdef HAS_HALVES
    for (int i = 0; half && i < WIDTH; i += LANES) {
        __m256i halves = _mm512_cvtps_ph(_mm512_loadu_ps(new + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(to + i * sizeof(Half)), halves);
    }
#endif
    if (!half)
        memcpy(to, new, WIDTH * sizeof *new);
}

INLINE Floats likeness(const Floats *asked, const char *keys, int64_t place, const int half) {
    Floats product = asked[0] * read(keys, place * WIDTH, half);
    for (int i = 1; i < PARTS; i++)
        product += asked[i] * read(keys, place * WIDTH + i * LANES, half);
    return product;
}

INLINE void see(
    const float *query, const char *keys, const char *values, int64_t length, float *out, const int half
) {
    float weights[length + 3];
    Floats asked[PARTS], seen[PARTS];
    for (int i = 0; i < PARTS; i++) {
        asked[i] = load(query + i * LANES) * (1 / sqrtf(WIDTH));
        seen[i] = (Floats){0};
    }
    for (int64_t p = 0; p < length; p += 4) {
        Floats products[4];
        for (int i = 0; i < 4; i++) { /* the last is taken again where there are no more */
            int64_t place = p + i < length ? p + i : length - 1;
            products[i] = likeness(asked, keys, place, half);
        }
        Four four = sums(products);
        memcpy(weights + p, &four, sizeof four);
    }
    float most = weights[0];
    for (int64_t p = 1; p < length; p++)
        most = weights[p] > most ? weights[p] : most;
    for (int64_t p = 0; p < length; p++)
        weights[p] = exponential(weights[p] - most);
    float total = 0;
    for (int64_t p = 0; p < length; p++) {
        total += weights[p];
        for (int i = 0; i < PARTS; i++)
            seen[i] += weights[p] * read(values, p * WIDTH + i * LANES, half);
    }
    for (int i = 0; i < PARTS; i++) {
        seen[i] /= total;
        memcpy(out + i * LANES, &seen[i], sizeof seen[i]);
    }
}

INLINE void attend(const Attention *a, int64_t row, int64_t head, const int half) {
    int64_t length = a->lengths[row];
    int64_t size = half ? sizeof(Half) : sizeof(float);
    int64_t first = (a->rows[row] * a->heads + head) * a->max_length * WIDTH * size;
    int64_t last = first + (length - 1) * WIDTH * size;
    char *keys = a->keys, *values = a->values;
    const float *query = a->queries + row * a->query_strides[0] + head * a->query_strides[1];
    const float *key = a->new_keys + row * a->key_strides[0] + head * a->key_strides[1];
    const float *value = a->new_values + row * a->value_strides[0] + head * a->value_strides[1];
    keep(keys + last, key, half);
    keep(values + last, value, half);
    float *out = a->out + (row * a->heads + head) * WIDTH;
    see(query, keys + first, values + first, length, out, half);
}

/* 1 where keys and values may be float16. */
int chatterbox_attention_of_halves(void) {
#ifdef HAS_HALVES
    return 1;
#else
    return 0;
#endif
}

void chatterbox_attention(const Attention *a) {
    int64_t work = 0;
    for (int64_t row = 0; row < a->count; row++)
        work += a->lengths[row] * a->heads;
    int useful = 1 + work / WORTH_ANOTHER_THREAD;
    int threads = useful < a->threads ? useful : a->threads;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
    for (int64_t row = 0; row < a->count; row++)
        for (int64_t head = 0; head < a->heads; head++)
            if (a->are_half)
                attend(a, row, head, 1);
            else
                attend(a, row, head, 0);
}
