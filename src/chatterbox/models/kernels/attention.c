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

#include "ahead.h"

enum { WIDTH = 64, LANES = 16, PARTS = WIDTH / LANES };
enum { WORTH_ANOTHER_THREAD = 1024 }; /* positions of a head, some 30 us */

typedef float Floats __attribute__((vector_size(64)));
typedef float Eight __attribute__((vector_size(32)));
typedef float Four __attribute__((vector_size(16)));

/* Strides count elements; what is new has its channels side by side. */
typedef struct {
    const float *queries, *new_keys, *new_values;
    int64_t query_strides[2], key_strides[2], value_strides[2]; /* of a row, of a head */
    float *keys, *values;   /* (rows, heads, max_length, WIDTH) */
    const int64_t *rows;    /* which of them */
    const int64_t *lengths; /* with the new position */
    float *out;             /* (count, heads, WIDTH) */
    int64_t count, heads, max_length;
    int32_t threads;
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
static inline Floats read(const float *from) {
    __builtin_prefetch((const char *)from + AHEAD);
    return load(from);
}

static inline Floats likeness(const Floats *asked, const float *key) {
    Floats product = asked[0] * read(key);
    for (int i = 1; i < PARTS; i++)
        product += asked[i] * read(key + i * LANES);
    return product;
}

static void see(
    const float *query, const float *keys, const float *values, int64_t length, float *out
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
            products[i] = likeness(asked, keys + place * WIDTH);
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
            seen[i] += weights[p] * read(values + p * WIDTH + i * LANES);
    }
    for (int i = 0; i < PARTS; i++) {
        seen[i] /= total;
        memcpy(out + i * LANES, &seen[i], sizeof seen[i]);
    }
}

static void attend(const Attention *a, int64_t row, int64_t head) {
    int64_t length = a->lengths[row];
    int64_t first = (a->rows[row] * a->heads + head) * a->max_length * WIDTH;
    int64_t last = first + (length - 1) * WIDTH;
    const float *query = a->queries + row * a->query_strides[0] + head * a->query_strides[1];
    const float *key = a->new_keys + row * a->key_strides[0] + head * a->key_strides[1];
    const float *value = a->new_values + row * a->value_strides[0] + head * a->value_strides[1];
    memcpy(a->keys + last, key, WIDTH * sizeof *key);
    memcpy(a->values + last, value, WIDTH * sizeof *value);
    float *out = a->out + (row * a->heads + head) * WIDTH;
    see(query, a->keys + first, a->values + first, length, out);
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
            attend(a, row, head);
}
