/* Attention of a few frames to themselves and to what was remembered of the frames before.
 *
 * The keys lie in three places: the voice's prompt, the window of what was said, and the new frames.
 * torch wants them side by side, which copies megabytes in each layer of each step; here they are
 * read where they are. Of every place only what is valid is read, so there is no mask.
 *
 * Queries go in tiles of TILE. Both products, of queries with keys and of weights with values, are the same
 * small loop: numbers of the left side broadcast, vectors of the right side added up in registers.
 * It wants keys by channel, so those of a head are turned once for all tiles.
 *
 * A query is worked through by itself and in order: the same to the last bit, whoever else is there.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef __AVX512F__
#error "this processor has no AVX-512"
#endif
#include <immintrin.h>

#include "exponential.h"

enum { WIDTH = 64, LANES = 16, PARTS = WIDTH / LANES, TILE = 6, PLACES = 3 };
enum { AHEAD = 32 }; /* frames: sixteen lines at a time are no stream that the processor sees */

/* Strides count elements: of a group of rows, a row in it, a head, a frame. Channels lie side by side. */
typedef struct {
    const float *keys, *values;
    const int64_t *first, *last; /* of every row: the frames that are valid */
    int64_t group, row, head, frame;
} Place;

typedef struct {
    Place places[PLACES];   /* prompt, window, new; in the order of time */
    const float *queries;   /* strides as of the new keys */
    float *out;             /* (rows, frames, heads, WIDTH) */
    float *next_keys, *next_values; /* (rows, heads, window, WIDTH): what is remembered then */
    const int64_t *kept;    /* of every row: new frames that are remembered */
    /* Where a score depends on how far away a key is, too (arXiv:1901.02860); else NULL: */
    const float *content_bias, *place_bias; /* (heads, WIDTH), added to the queries */
    const float *distances;                 /* `farthest` to less: (heads, WIDTH, more than WIDTH beyond) */
    int64_t distance_head, distance_channel, farthest;
    int64_t rows, group_rows, heads, frames, window;
    int32_t threads;
} Attention;

static inline int64_t offset(const Attention *a, const Place *place, int64_t row, int64_t head) {
    return row / a->group_rows * place->group + row % a->group_rows * place->row + head * place->head;
}

static void turn(__m512 r[16]) { /* 16 x 16 numbers, lines for columns */
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int half = 0; half < 2; half++) {
            __m512d a = _mm512_castps_pd(t[i + half]), b = _mm512_castps_pd(t[i + half + 2]);
            r[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            r[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Fetches the values, too, which are wanted next.
 * The keys of a head by channel, WIDTH of them side by side: block after block of (WIDTH, WIDTH).
 * What stands behind the last key means nothing, as do the scores that come of it. */
static void turn_keys(const Attention *a, int64_t row, int64_t head, float *turned) {
    const float *lines[LANES];
    int64_t count = 0;
    for (int p = 0; p < PLACES; p++) {
        const Place *place = &a->places[p];
        const float *keys = place->keys + offset(a, place, row, head);
        const float *values = place->values + offset(a, place, row, head);
        for (int64_t frame = place->first[row]; frame < place->last[row]; frame++) {
            for (int c = 0; c < WIDTH; c += LANES) {
                _mm_prefetch((const char *)(keys + (frame + AHEAD) * place->frame + c), _MM_HINT_T0);
                _mm_prefetch((const char *)(values + frame * place->frame + c), _MM_HINT_T1);
            }
            lines[count++ % LANES] = keys + frame * place->frame;
            if (count % LANES == 0) {
                float *to = turned + (count - LANES) / WIDTH * WIDTH * WIDTH + (count - LANES) % WIDTH;
                for (int c = 0; c < WIDTH; c += LANES) {
                    __m512 r[16];
                    for (int i = 0; i < 16; i++)
                        r[i] = _mm512_loadu_ps(lines[i] + c);
                    turn(r);
                    for (int i = 0; i < 16; i++)
                        _mm512_storeu_ps(to + (c + i) * WIDTH, r[i]);
                }
            }
        }
    }
    int64_t rest = count % LANES, from = count - rest;
    float *to = turned + from / WIDTH * WIDTH * WIDTH + from % WIDTH;
    for (int c = 0; rest > 0 && c < WIDTH; c++)
        for (int i = 0; i < LANES; i++)
            to[c * WIDTH + i] = lines[i < rest ? i : rest - 1][c];
}

typedef struct { __m512 at[TILE][PARTS]; } Sums;

/* sums += left (TILE lines of `count`) times right (`count` lines of WIDTH, `stride` apart) */
static inline __attribute__((always_inline)) void add_product(
    Sums *sums, const float *left, int64_t left_stride, const float *right, int64_t stride, int64_t count
) {
    for (int64_t k = 0; k < count; k++) {
        __m512 line[PARTS];
#pragma GCC unroll 4
        for (int i = 0; i < PARTS; i++)
            line[i] = _mm512_loadu_ps(right + k * stride + i * LANES);
#pragma GCC unroll 6
        for (int t = 0; t < TILE; t++) {
            __m512 number = _mm512_set1_ps(left[t * left_stride + k]);
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++)
                sums->at[t][i] = _mm512_fmadd_ps(number, line[i], sums->at[t][i]);
        }
    }
}

static inline __attribute__((always_inline)) void clear(Sums *sums) {
#pragma GCC unroll 6
    for (int t = 0; t < TILE; t++)
#pragma GCC unroll 4
        for (int i = 0; i < PARTS; i++)
            sums->at[t][i] = _mm512_setzero_ps();
}

/* Scores to weights, in place; the sum of them. */
static float weigh(float *scores, int64_t count) {
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __mmask16 rest = (__mmask16)((1u << count % LANES) - 1);
    int64_t whole = count - count % LANES;
    __m512 most = _mm512_mask_loadu_ps(least, rest, scores + whole);
    for (int64_t k = 0; k < whole; k += LANES)
        most = _mm512_max_ps(most, _mm512_loadu_ps(scores + k));
    most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    __m512 total = _mm512_setzero_ps();
    for (int64_t k = 0; k < whole; k += LANES) {
        __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(scores + k), most));
        _mm512_storeu_ps(scores + k, weight);
        total = _mm512_add_ps(total, weight);
    }
    __m512 last = exponential(_mm512_sub_ps(_mm512_mask_loadu_ps(most, rest, scores + whole), most));
    _mm512_mask_storeu_ps(scores + whole, rest, last);
    return _mm512_reduce_add_ps(_mm512_mask_add_ps(total, rest, total, last));
}

static inline int64_t blocks(int64_t count) {
    return (count + WIDTH - 1) / WIDTH * WIDTH;
}

/* A tile of queries, scaled; where there are fewer, the last is taken again. */
static void ask(
    const Attention *a, int64_t row, int64_t head, int64_t frame, const float *bias, float *asked
) {
    const Place *fresh = &a->places[PLACES - 1];
    const __m512 scale = _mm512_set1_ps(1 / sqrtf(WIDTH));
    for (int64_t t = 0; t < TILE; t++) {
        int64_t at = frame + t < a->frames ? frame + t : a->frames - 1;
        const float *query = a->queries + offset(a, fresh, row, head) + at * fresh->frame;
        for (int i = 0; i < WIDTH; i += LANES) {
            __m512 part = _mm512_loadu_ps(query + i);
            if (bias != NULL)
                part = _mm512_add_ps(part, _mm512_loadu_ps(bias + head * WIDTH + i));
            _mm512_storeu_ps(asked + t * WIDTH + i, _mm512_mul_ps(part, scale));
        }
    }
}

/* products (TILE lines, `stride` apart) = asked times blocks of WIDTH columns, the first `count` of which count */
static inline __attribute__((always_inline)) void multiply(
    const float *asked, const float *right, int64_t right_line, int64_t right_block, int64_t count,
    float *products, int64_t stride
) {
    for (int64_t k = 0; k < count; k += WIDTH, right += right_block) {
        Sums sums;
        clear(&sums);
        add_product(&sums, asked, WIDTH, right, right_line, WIDTH);
#pragma GCC unroll 6
        for (int t = 0; t < TILE; t++)
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++)
                _mm512_storeu_ps(products + t * stride + k + i * LANES, sums.at[t][i]);
    }
}

/* Adds to the scores of a tile what the distances of `count` keys, `before` of them not new, are worth. */
static void add_distances(
    const Attention *a, int64_t row, int64_t head, int64_t frame, int64_t before, int64_t count,
    float *scores, float *worth
) {
    int64_t last = frame + TILE < a->frames ? frame + TILE - 1 : a->frames - 1;
    int64_t columns = count + last - frame, stride = blocks(count), wide = blocks(columns);
    float asked[TILE * WIDTH];
    ask(a, row, head, frame, a->place_bias, asked);
    /* From a key to the next, the distance falls by one; from a query to the next, it rises. */
    const float *first = a->distances + head * a->distance_head + a->farthest - before - last;
    multiply(asked, first, a->distance_channel, WIDTH, columns, worth, wide);
    for (int64_t t = 0; frame + t <= last && t < TILE; t++)
        for (int64_t k = 0; k < count; k += LANES) {
            __m512 score = _mm512_loadu_ps(scores + t * stride + k);
            __m512 more = _mm512_loadu_ps(worth + t * wide + last - frame - t + k);
            _mm512_storeu_ps(scores + t * stride + k, _mm512_add_ps(score, more));
        }
}

static void see(
    const Attention *a, int64_t row, int64_t head, int64_t frame, const float *turned, float *scores,
    float *worth
) {
    int64_t tile = a->frames - frame < TILE ? a->frames - frame : TILE, count = 0, before = 0;
    for (int p = 0; p < PLACES; p++) {
        before = count;
        count += a->places[p].last[row] - a->places[p].first[row];
    }
    int64_t stride = blocks(count);

    float asked[TILE * WIDTH];
    ask(a, row, head, frame, a->content_bias, asked);
    multiply(asked, turned, WIDTH, WIDTH * WIDTH, count, scores, stride);
    if (a->distances != NULL)
        add_distances(a, row, head, frame, before, count, scores, worth);
    float totals[TILE];
    for (int t = 0; t < TILE; t++)
        totals[t] = weigh(scores + t * stride, count);

    Sums seen;
    clear(&seen);
    const float *weights = scores;
    for (int p = 0; p < PLACES; p++) {
        const Place *place = &a->places[p];
        int64_t first = place->first[row], valid = place->last[row] - first;
        const float *values = place->values + offset(a, place, row, head);
        add_product(&seen, weights, stride, values + first * place->frame, place->frame, valid);
        weights += valid;
    }
#pragma GCC unroll 6
    for (int t = 0; t < TILE; t++) {
        float *out = a->out + ((row * a->frames + frame + t) * a->heads + head) * WIDTH;
        __m512 share = _mm512_set1_ps(1 / totals[t]);
#pragma GCC unroll 4
        for (int i = 0; i < PARTS; i++)
            if (t < tile)
                _mm512_storeu_ps(out + i * LANES, _mm512_mul_ps(seen.at[t][i], share));
    }
}

/* The window's and the new frames' last ones, as they will be wanted next time. */
static void remember(const Attention *a, int64_t row, int64_t head) {
    const Place *past = &a->places[1], *fresh = &a->places[2];
    int64_t kept = a->kept[row], stays = kept < a->window ? a->window - kept : 0;
    for (int which = 0; which < 2; which++) {
        const float *old = which == 0 ? past->keys : past->values;
        const float *new = which == 0 ? fresh->keys : fresh->values;
        float *next = which == 0 ? a->next_keys : a->next_values;
        next += (row * a->heads + head) * a->window * WIDTH;
        old += offset(a, past, row, head);
        new += offset(a, fresh, row, head);
        for (int64_t frame = 0; frame < stays; frame++)
            memcpy(next + frame * WIDTH, old + (kept + frame) * past->frame, WIDTH * sizeof *next);
        for (int64_t frame = stays; frame < a->window; frame++)
            memcpy(
                next + frame * WIDTH, new + (kept - a->window + frame) * fresh->frame,
                WIDTH * sizeof *next
            );
    }
}

/* Room of this thread, kept for the next call: pages asked for anew are the slowest of all. NULL: there is none. */
static float *at_least(int64_t numbers) {
    static _Thread_local float *room;
    static _Thread_local int64_t size;
    if (size < numbers) {
        free(room);
        room = aligned_alloc(64, numbers * sizeof *room);
        size = room == NULL ? 0 : numbers;
    }
    return room;
}

/* 0, or 1 where there was no room. */
int chatterbox_window_attention(const Attention *a) {
    int64_t most = 0;
    for (int64_t row = 0; row < a->rows; row++) {
        int64_t count = 0;
        for (int p = 0; p < PLACES; p++)
            count += a->places[p].last[row] - a->places[p].first[row];
        most = count > most ? count : most;
    }
    most = blocks(most);
    int64_t wide = a->distances == NULL ? 0 : most + 2 * WIDTH; /* reads LANES at a time */
    int failed = 0;
#pragma omp parallel num_threads(a->threads)
    {
        float *room = at_least(most * (WIDTH + TILE) + wide * TILE);
        if (room == NULL)
#pragma omp atomic write
            failed = 1;
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t row = 0; row < a->rows; row++)
            for (int64_t head = 0; head < a->heads; head++)
                if (room != NULL) {
                    turn_keys(a, row, head, room);
                    float *scores = room + most * WIDTH;
                    for (int64_t frame = 0; frame < a->frames; frame += TILE)
                        see(a, row, head, frame, room, scores, scores + most * TILE);
                    remember(a, row, head);
                }
    }
    return failed;
}
