/* Drawing of tokens: scores of many rows into one token each, as engine/sampler.py says it.
 *
 * torch does it in some eighty operations that take longer to be called than to be computed, and sorts the
 * vocabulary where it needs the likeliest few. A row is worked through by itself.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { ROOM = 5 };

typedef struct {
    const float *scores;             /* rows of the network's, `stride` apart */
    const int64_t *slots;            /* (count,) */
    const int64_t *told, *untold;    /* (count,) rows; the same where nobody is guided */
    int64_t *tokens, *drawn;         /* by slot, as all that follows: the token drawn last; how many were */
    const int64_t *seeds, *least;    /* no stop before that many tokens */
    uint8_t *live, *fresh;           /* neither ended nor empty; nothing drawn yet */
    uint8_t *seen;                   /* (slots, vocabulary): which tokens were drawn */
    const float *cfg_weight, *temperature, *floor, *top_p, *penalty;
    const uint8_t *greedy;
    const int64_t *top_k;
    int64_t *out;                    /* (count,) */
    uint32_t *room;                  /* (count, ROOM, vocabulary) */
    int64_t count, stride, vocabulary, codes, stop, start;
    int32_t penalty_last, keeps_start, threads;
} Draw;

static inline uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static const uint64_t GOLDEN = 0x9e3779b97f4a7c15u;

static inline float penalised(float score, float penalty) {
    return score < 0 ? score * penalty : score / penalty;
}

/* The candidates, the likeliest first, those of one score in their order: three rounds of counting. */
static void sort(uint32_t *tokens, uint32_t *keys, uint32_t *other_tokens, uint32_t *other_keys, int64_t n) {
    enum { BITS = 11, KINDS = 1 << BITS, ROUNDS = 3 };
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t starts[KINDS + 1] = {0};
        int shift = round * BITS;
        for (int64_t i = 0; i < n; i++)
            starts[(keys[i] >> shift & (KINDS - 1)) + 1]++;
        for (int k = 0; k < KINDS; k++)
            starts[k + 1] += starts[k];
        for (int64_t i = 0; i < n; i++) {
            uint32_t to = starts[keys[i] >> shift & (KINDS - 1)]++;
            other_keys[to] = keys[i];
            other_tokens[to] = tokens[i];
        }
        uint32_t *swapped = keys;
        keys = other_keys, other_keys = swapped;
        swapped = tokens;
        tokens = other_tokens, other_tokens = swapped;
    }
    memcpy(other_tokens, tokens, n * sizeof *tokens); /* after an odd number of rounds */
}

/* Falling scores as rising integers. */
static inline uint32_t key_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}

/* Of those who ring after an exponential time at the rate of their probability, who rings first. */
static uint32_t first_to_ring(const float *scaled, const uint32_t *tokens, int64_t n, uint64_t state) {
    uint32_t winner = tokens[0];
    double most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = mixed(state + (tokens[i] + 1) * GOLDEN) >> 12;
        double u = (bits + 0.5) * 0x1p-52;
        /* -log(u) is at least 1 - u: most need no logarithm to be known to lose. */
        if (1 - u > 1.001 * expf((float)(scaled[tokens[i]] - most)))
            continue;
        double rings = scaled[tokens[i]] - log(-log(u));
        if (rings > most) {
            most = rings;
            winner = tokens[i];
        }
    }
    return winner;
}

static int64_t drawn_token(const Draw *d, int64_t place) {
    int64_t slot = d->slots[place], V = d->vocabulary;
    uint32_t *room = d->room + place * ROOM * V;
    float *scaled = (float *)room;
    uint32_t *tokens = room + V, *keys = room + 2 * V, *others = room + 3 * V, *other_keys = room + 4 * V;
    const float *told = d->scores + d->told[place] * d->stride;
    const float *untold = d->scores + d->untold[place] * d->stride;
    const uint8_t *seen = d->seen + slot * V;
    float weight = d->cfg_weight[slot], penalty = d->penalty[slot], temperature = d->temperature[slot];
    int64_t limit = d->top_k[slot];

    if (told == untold)
        memcpy(scaled, told, V * sizeof *scaled);
    else
        for (int64_t i = 0; i < V; i++)
            scaled[i] = told[i] + weight * (told[i] - untold[i]);
    int is_too_soon = d->drawn[slot] < d->least[slot];
    for (int64_t i = d->codes; i < V; i++)
        if (i != d->stop || is_too_soon)
            scaled[i] = -INFINITY;
    if (d->stop < d->codes && is_too_soon)
        scaled[d->stop] = -INFINITY;
    if (penalty != 1 && !d->penalty_last)
        for (int64_t i = 0; i < V; i++)
            scaled[i] = seen[i] ? penalised(scaled[i], penalty) : scaled[i];
    float best = -INFINITY;
    for (int64_t i = 0; i < V; i++) {
        scaled[i] /= temperature;
        best = scaled[i] > best ? scaled[i] : best;
    }

    int64_t n = 0;
    float floor = d->greedy[slot] ? 0 : d->floor[slot];
    for (int64_t i = 0; i < V; i++) {
        tokens[n] = i;
        n += scaled[i] - best >= floor && scaled[i] != -INFINITY;
    }
    if (n == 0)
        return d->stop; /* not one number in the scores */
    if (d->greedy[slot])
        n = 1;
    int has_nucleus = d->top_p[slot] <= 1;
    if (n > 1 && (n > limit || has_nucleus)) {
        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of(scaled[tokens[i]]);
        sort(tokens, keys, others, other_keys, n);
        n = n < limit ? n : limit;
    }
    if (has_nucleus) {
        double total = 0, before = 0, allowed;
        float *shares = (float *)keys;
        for (int64_t i = 0; i < n; i++) {
            shares[i] = exp2f((scaled[tokens[i]] - best) * 1.44269504088896340736f);
            total += shares[i];
        }
        allowed = (double)d->top_p[slot] * total;
        int64_t kept = 1;
        for (before = shares[0]; kept < n && before < allowed; kept++)
            before += shares[kept];
        n = kept;
    }
    if (penalty != 1 && d->penalty_last)
        for (int64_t i = 0; i < n; i++)
            if (seen[tokens[i]])
                scaled[tokens[i]] = penalised(scaled[tokens[i]], penalty);
    uint64_t state = mixed(mixed(d->seeds[slot]) + d->drawn[slot] * GOLDEN);
    return first_to_ring(scaled, tokens, n, state);
}

static void draw(const Draw *d, int64_t place) {
    int64_t slot = d->slots[place];
    if (d->live[slot]) {
        int64_t token = drawn_token(d, place);
        uint8_t *seen = d->seen + slot * d->vocabulary;
        if (!d->keeps_start && d->fresh[slot]) {
            seen[d->start] = 0;
            d->fresh[slot] = 0;
        }
        seen[token] = 1;
        d->tokens[slot] = token;
        d->drawn[slot]++;
        d->live[slot] = token != d->stop;
    }
    d->out[place] = d->tokens[slot];
}

void chatterbox_draw(const Draw *d) {
#pragma omp parallel for schedule(dynamic) num_threads(d->threads) if (d->count > 1)
    for (int64_t place = 0; place < d->count; place++)
        draw(d, place);
}
