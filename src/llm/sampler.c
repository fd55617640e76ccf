/* The chain of samplers. */
#include "llm/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct tern_candidate {
    int32_t id;
    float logit;
    double p; /* probability, or what a step orders by */
} tern_candidate;

struct tern_sampler {
    tern_sampling s;
    int vocabulary;
    tern_candidate *c; /* [vocabulary] */
    int count;         /* that are left */
    int sorted;        /* so many at the front are in falling order, and above the rest */
    int32_t *history;
    size_t history_count, history_capacity;
    int32_t *
        seen; /* [vocabulary]: how often in the window of penalties, or how long a repetition; zero between steps */
    int *matches; /* DRY's scratch, as long as its window */
    size_t match_capacity;
    double mu; /* mirostat's bound on surprise, bits */
    double surprise;
    uint64_t draws;
};

static const char *const step_names[TERN_SAMPLE_STEPS] = {"penalties", "dry",   "top_k",      "typ_p",
                                                          "top_p",     "min_p", "temperature"};

tern_sampling tern_sampling_standard(void)
{
    tern_sampling s = {.temperature = 1,
                       .top_p = 1,
                       .typical_p = 1,
                       .repeat_penalty = 1,
                       .penalty_last = 64,
                       .dry_base = 1.75,
                       .dry_allowed = 2,
                       .dry_last = -1,
                       .mirostat_tau = 5,
                       .mirostat_eta = 0.1,
                       .order_count = TERN_SAMPLE_STEPS};
    for (int i = 0; i < TERN_SAMPLE_STEPS; i++) s.order[i] = (tern_sample_step)i;
    return s;
}

tern_status tern_sampling_order(tern_sampling *s, const char *text)
{
    s->order_count = 0;
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, ";"), i = 0;
        while (i < TERN_SAMPLE_STEPS &&
               (strlen(step_names[i]) != size || memcmp(step_names[i], at, size) != 0))
            i++;
        if (i == TERN_SAMPLE_STEPS || s->order_count == TERN_SAMPLE_STEPS)
            return tern_fail(
                TERN_USAGE,
                "the sampler \"%.*s\": expected each once of penalties, dry, top_k, typ_p, top_p, min_p and "
                "temperature, with ; between",
                (int)size, at);
        s->order[s->order_count++] = (tern_sample_step)i;
        at += size + (at[size] == ';');
    }
    return TERN_OK;
}

/* ---- candidates in order ------------------------------------------------------------------------------------------- */

/* Falling logits; of equal ones the smaller id first, so that an order is one and the same everywhere. */
static int by_logit(const void *a, const void *b)
{
    const tern_candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Rising p (typical sampling's distance). */
static int by_distance(const void *a, const void *b)
{
    const tern_candidate *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? -1 : 1;
    return by_logit(a, b);
}

static void swap(tern_candidate *a, tern_candidate *b)
{
    tern_candidate t = *a;
    *a = *b;
    *b = t;
}

/* The first `wanted` of c[from..count) become the best of them, in any order (Hoare's selection). */
static void select_best(tern_candidate *c, int from, int count, int wanted)
{
    int low = from, high = count - 1;
    while (low < high) {
        tern_candidate pivot = c[low + (high - low) / 2];
        int i = low, k = high;
        while (i <= k) {
            while (by_logit(&c[i], &pivot) < 0) i++;
            while (by_logit(&c[k], &pivot) > 0) k--;
            if (i <= k) swap(&c[i++], &c[k--]);
        }
        if (wanted - 1 <= k)
            high = k;
        else if (wanted - 1 >= i)
            low = i;
        else
            return;
    }
}

/* At least the first `wanted` in order. */
static void sort_front(tern_sampler *m, int wanted)
{
    if (wanted > m->count) wanted = m->count;
    if (wanted <= m->sorted) return;
    if (wanted < m->count) select_best(m->c, m->sorted, m->count, wanted);
    qsort(m->c + m->sorted, (size_t)(wanted - m->sorted), sizeof *m->c, by_logit);
    m->sorted = wanted;
}

static void keep(tern_sampler *m, int count)
{
    if (count < 1) count = 1;
    if (count < m->count) m->count = count;
    if (m->sorted > m->count) m->sorted = m->count;
}

static float highest(const tern_sampler *m)
{
    float most = m->c[0].logit;
    for (int i = 1; i < m->count && !m->sorted; i++)
        if (m->c[i].logit > most) most = m->c[i].logit;
    return most;
}

/* p = e^logit over its sum */
static void softmax(tern_sampler *m)
{
    double most = highest(m), sum = 0;
    for (int i = 0; i < m->count; i++) sum += m->c[i].p = exp(m->c[i].logit - most);
    for (int i = 0; i < m->count; i++) m->c[i].p /= sum;
}

/* ---- steps that change logits ---------------------------------------------------------------------------------------- */

static void penalise(tern_sampler *m)
{
    const tern_sampling *s = &m->s;
    size_t last = s->penalty_last < 0 ? m->history_count : (size_t)s->penalty_last;
    if (s->repeat_penalty == 1 && s->frequency_penalty == 0 && s->presence_penalty == 0) return;
    if (last > m->history_count) last = m->history_count;
    for (size_t i = m->history_count - last; i < m->history_count; i++) m->seen[m->history[i]]++;
    for (int i = 0; i < m->count; i++) {
        tern_candidate *c = &m->c[i];
        int times = m->seen[c->id];
        if (!times) continue;
        c->logit = (float)(c->logit <= 0 ? c->logit * s->repeat_penalty : c->logit / s->repeat_penalty);
        c->logit -= (float)(times * s->frequency_penalty + s->presence_penalty);
    }
    for (size_t i = m->history_count - last; i < m->history_count; i++) m->seen[m->history[i]] = 0;
    m->sorted = 0;
}

static bool is_breaker(const tern_sampling *s, int32_t id)
{
    for (int i = 0; i < s->dry_breaker_count; i++)
        if (s->dry_breakers[i] == id) return true;
    return false;
}

/* matches[k]: how many tokens that end k tokens before the end equal those at the end, at most `limit`: the Z function of
 * the text read backwards, in linear time. */
static void match_lengths(const int32_t *end, int n, int limit, int *matches)
{
    for (int k = 1, begin = 0, stop = 0; k < n; k++) {
        int length = k < stop ? matches[k - begin] : 0;
        if (k < stop && length > stop - k) length = stop - k;
        while (k + length < n && end[-1 - length] == end[-1 - k - length]) length++;
        matches[k] = length;
        if (k + length > stop) begin = k, stop = k + length;
    }
    for (int k = 1; k < n; k++)
        if (matches[k] > limit) matches[k] = limit;
}

/* DRY (as its author p-e-w defined it): a token that would lengthen a repetition of L tokens loses
 * multiplier * base^(L - allowed). */
static tern_status dry(tern_sampler *m)
{
    const tern_sampling *s = &m->s;
    size_t last = s->dry_last < 0 ? m->history_count : (size_t)s->dry_last;
    if (last > m->history_count) last = m->history_count;
    if (s->dry_multiplier == 0 || last < 2) return TERN_OK;
    int n = (int)last, limit = 0;
    const int32_t *end = m->history + m->history_count;
    while (limit < n && !is_breaker(s, end[-1 - limit])) limit++;
    if (limit < s->dry_allowed) return TERN_OK;
    if (m->match_capacity < last) {
        int *bigger = tern_take_array(last * 2, sizeof *bigger);
        if (!bigger) return tern_no_memory(last * 2 * sizeof *bigger, "a sampler");
        tern_release(m->matches);
        m->matches = bigger;
        m->match_capacity = last * 2;
    }
    match_lengths(end, n, limit, m->matches);
    for (int k = 1; k < n; k++) /* the token behind a match that ends k before the end */
        if (m->matches[k] >= s->dry_allowed && m->matches[k] > m->seen[end[-k]])
            m->seen[end[-k]] = m->matches[k];
    double most = log((double)FLT_MAX) / log(s->dry_base > 1.000001 ? s->dry_base : 1.000001);
    for (int i = 0; i < m->count; i++) {
        int length = m->seen[m->c[i].id];
        if (!length) continue;
        double power = length - s->dry_allowed;
        m->c[i].logit -= (float)(s->dry_multiplier * pow(s->dry_base, power < most ? power : most));
    }
    for (int k = 1; k < n; k++) m->seen[end[-k]] = 0;
    m->sorted = 0;
    return TERN_OK;
}

static void temper(tern_sampler *m)
{
    if (m->s.temperature == 1) return;
    if (m->s.temperature == 0) { /* the likeliest alone */
        sort_front(m, 1);
        keep(m, 1);
        return;
    }
    for (int i = 0; i < m->count; i++) m->c[i].logit = (float)(m->c[i].logit / m->s.temperature);
}

/* ---- steps that drop candidates -------------------------------------------------------------------------------------- */

static void top_k(tern_sampler *m)
{
    if (m->s.top_k <= 0) return;
    sort_front(m, m->s.top_k);
    keep(m, m->s.top_k);
}

static void top_p(tern_sampler *m)
{
    if (m->s.top_p >= 1) return;
    softmax(m);
    double sum = 0;
    for (int i = 0, front = 64; i < m->count; i++) {
        if (i >= m->sorted) sort_front(m, front *= 4); /* p moves with its candidate */
        sum += m->c[i].p;
        if (sum < m->s.top_p) continue;
        keep(m, i + 1);
        return;
    }
}

static void min_p(tern_sampler *m)
{
    int kept = 0;
    if (m->s.min_p <= 0) return;
    float least = (float)(highest(m) + log(m->s.min_p));
    for (int i = 0; i < m->count; i++)
        if (m->c[i].logit >= least) m->c[kept++] = m->c[i];
    keep(m, kept);
}

static void typical(tern_sampler *m)
{
    if (m->s.typical_p >= 1) return;
    double entropy = 0, sum = 0;
    softmax(m);
    for (int i = 0; i < m->count; i++)
        if (m->c[i].p > 0) entropy -= m->c[i].p * log(m->c[i].p);
    double most = highest(m), whole = 0;
    for (int i = 0; i < m->count; i++) whole += exp(m->c[i].logit - most);
    for (int i = 0; i < m->count; i++) m->c[i].p = fabs(-(m->c[i].logit - most - log(whole)) - entropy);
    qsort(m->c, (size_t)m->count, sizeof *m->c, by_distance);
    int kept = 0;
    while (kept < m->count && sum < m->s.typical_p) sum += exp(m->c[kept++].logit - most) / whole;
    m->sorted = 0;
    keep(m, kept);
}

/* ---- mirostat ---------------------------------------------------------------------------------------------------------- */

/* Version 1: the exponent of a Zipf law through the likeliest 100 says how many candidates have the wanted surprise. */
static void mirostat_1(tern_sampler *m)
{
    int first = m->count < 100 ? m->count : 100;
    double above = 0, below = 0;
    sort_front(m, m->count < 100 ? m->count : 100);
    softmax(m);
    for (int i = 0; i + 1 < first && m->c[i + 1].p > 0; i++) {
        double t = log((i + 2.0) / (i + 1.0)), b = log(m->c[i].p / m->c[i + 1].p);
        above += t * b;
        below += t * t;
    }
    double s = below > 0 ? above / below : 1, epsilon = s - 1;
    double k = pow(epsilon * pow(2, m->mu) / (1 - pow(m->vocabulary, -epsilon)), 1 / s);
    int wanted = k >= 1 && k < m->count ? (int)k : k >= m->count ? m->count : 1;
    sort_front(m, wanted);
    keep(m, wanted);
}

/* Version 2: no candidate whose surprise is above the bound. */
static void mirostat_2(tern_sampler *m)
{
    int kept = 0;
    softmax(m);
    sort_front(m, 1);
    for (int i = 0; i < m->count; i++)
        if (i == 0 || -log2(m->c[i].p) <= m->mu) m->c[kept++] = m->c[i];
    keep(m, kept);
    m->sorted = 1;
}

/* ---- the chain --------------------------------------------------------------------------------------------------------- */

static tern_status gather(tern_sampler *m, const float *logits, const uint64_t *allowed)
{
    m->count = m->sorted = 0;
    for (int id = 0; id < m->vocabulary; id++) m->c[id] = (tern_candidate){.id = id, .logit = logits[id]};
    for (int i = 0; i < m->s.bias_count; i++) m->c[m->s.bias[i].id].logit += m->s.bias[i].bias;
    for (int id = 0; id < m->vocabulary; id++) {
        bool possible = m->c[id].logit > -INFINITY && m->c[id].logit <= FLT_MAX; /* no NaN either */
        if (possible && (!allowed || (allowed[id / 64] >> (id % 64) & 1))) m->c[m->count++] = m->c[id];
    }
    if (!m->count)
        return tern_fail(TERN_FAILED, "no token is possible: all %d logits are -inf, NaN or forbidden",
                         m->vocabulary);
    return TERN_OK;
}

static tern_status step(tern_sampler *m, tern_sample_step step)
{
    bool drops = step >= TERN_SAMPLE_TOP_K && step <= TERN_SAMPLE_MIN_P;
    if (m->s.mirostat && drops) return TERN_OK;
    switch (step) {
    case TERN_SAMPLE_PENALTIES:
        penalise(m);
        break;
    case TERN_SAMPLE_DRY:
        return dry(m);
    case TERN_SAMPLE_TOP_K:
        top_k(m);
        break;
    case TERN_SAMPLE_TYPICAL:
        typical(m);
        break;
    case TERN_SAMPLE_TOP_P:
        top_p(m);
        break;
    case TERN_SAMPLE_MIN_P:
        min_p(m);
        break;
    default:
        temper(m);
        break;
    }
    return TERN_OK;
}

/* One of those that are left, by probability: 53 random bits against the running sum. */
static int draw(tern_sampler *m)
{
    tern_rng rng = {m->s.seed, 0x73616D706C65u}; /* "sample" */
    double u = (tern_rng_u32(rng, 2 * m->draws) >> 5) * 0x1p-27 +
               (tern_rng_u32(rng, 2 * m->draws + 1) >> 6) * 0x1p-53;
    double sum = 0;
    softmax(m);
    for (int i = 0; i < m->count; i++) {
        sum += m->c[i].p;
        if (u < sum) return i;
    }
    int last = m->count - 1; /* rounding: the last that has any probability */
    while (last && m->c[last].p == 0) last--;
    return last;
}

/* ---- the likeliest, without a list of candidates ----------------------------------------------------------------------- */

/* Whether nothing but biases stands between the logits and the likeliest token: the other steps that are on keep it. */
static bool plainly_greedy(const tern_sampling *s)
{
    return s->temperature == 0 && s->typical_p >= 1 && s->repeat_penalty == 1 && s->frequency_penalty == 0 &&
           s->presence_penalty == 0 && s->dry_multiplier == 0;
}

/* The logit of a token that has a bias; false: it has none. */
static bool biased(const tern_sampling *s, const float *logits, int32_t id, float *logit)
{
    bool has = false;
    *logit = logits[id];
    for (int i = 0; i < s->bias_count; i++)
        if (s->bias[i].id == id) *logit += s->bias[i].bias, has = true;
    return has;
}

static bool beats(float logit, int32_t id, float best, int32_t best_id)
{
    return logit > -INFINITY && logit <= FLT_MAX &&
           (best_id < 0 || logit > best || (logit == best && id < best_id));
}

/* -1: no token is possible.  Of equal ones the first. */
static int32_t likeliest(const tern_sampler *m, const float *logits, const uint64_t *allowed)
{
    float best = -INFINITY, other;
    int32_t best_id = -1;
    for (int32_t id = 0; id < m->vocabulary; id++) {
        if (!(logits[id] > best) || (allowed && !(allowed[id / 64] >> (id % 64) & 1))) continue;
        if (!beats(logits[id], id, best, best_id) || biased(&m->s, logits, id, &other)) continue;
        best = logits[id];
        best_id = id;
    }
    for (int i = 0; i < m->s.bias_count; i++) {
        int32_t id = m->s.bias[i].id;
        if (allowed && !(allowed[id / 64] >> (id % 64) & 1)) continue;
        biased(&m->s, logits, id, &other);
        if (!beats(other, id, best, best_id)) continue;
        best = other;
        best_id = id;
    }
    return best_id;
}

tern_status tern_sampler_pick(tern_sampler *m, const float *logits, const uint64_t *allowed, int32_t *id)
{
    int32_t plain = plainly_greedy(&m->s) ? likeliest(m, logits, allowed) : -1;
    if (plain >= 0) {
        m->surprise = 0;
        *id = plain;
        return TERN_OK;
    }
    TERN_TRY(gather(m, logits, allowed));
    for (int i = 0; i < m->s.order_count; i++) TERN_TRY(step(m, m->s.order[i]));
    if (m->s.temperature == 0) temper(m); /* also where the order leaves it out */
    if (m->s.temperature > 0 && m->s.mirostat == 1) mirostat_1(m);
    if (m->s.temperature > 0 && m->s.mirostat == 2) mirostat_2(m);
    int chosen = draw(m);
    m->surprise = -log2(m->c[chosen].p);
    *id = m->c[chosen].id;
    return TERN_OK;
}

tern_status tern_sampler_accept(tern_sampler *m, int32_t id)
{
    if (id < 0 || id >= m->vocabulary)
        return tern_fail(TERN_USAGE, "token %d: expected 0 to %d", id, m->vocabulary - 1);
    if (m->history_count == m->history_capacity) {
        size_t room = m->history_capacity ? m->history_capacity * 2 : 256;
        int32_t *bigger = tern_resize(m->history, m->history_count * sizeof *bigger, room * sizeof *bigger);
        if (!bigger) return tern_no_memory(room * sizeof *bigger, "a sampler");
        m->history = bigger;
        m->history_capacity = room;
    }
    m->history[m->history_count++] = id;
    if (m->surprise >= 0) { /* the token of the last pick */
        if (m->s.mirostat) m->mu -= m->s.mirostat_eta * (m->surprise - m->s.mirostat_tau);
        m->draws++;
    }
    m->surprise = -1;
    return TERN_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------- */

static tern_status check(const tern_sampling *s, int vocabulary)
{
    const struct {
        const char *name;
        double value, least, most;
    } ranges[] = {
        {"temperature", s->temperature, 0, 1e6},
        {"top_p", s->top_p, 0, 1},
        {"typical_p", s->typical_p, 0, 1},
        {"min_p", s->min_p, 0, 1},
        {"repeat_penalty", s->repeat_penalty, 1e-6, 1e6},
        {"frequency_penalty", s->frequency_penalty, -1e6, 1e6},
        {"presence_penalty", s->presence_penalty, -1e6, 1e6},
        {"dry_multiplier", s->dry_multiplier, 0, 1e6},
        {"dry_base", s->dry_base, 1, 1e6},
        {"dry_allowed", s->dry_allowed, 1, 1e6},
        {"mirostat", s->mirostat, 0, 2},
        {"mirostat_tau", s->mirostat_tau, 0, 1e6},
        {"mirostat_eta", s->mirostat_eta, 0, 1e6},
        {"vocabulary", vocabulary, 1, INT32_MAX / 2},
    };
    for (size_t i = 0; i < TERN_COUNT(ranges); i++)
        if (!(ranges[i].value >= ranges[i].least && ranges[i].value <= ranges[i].most))
            return tern_fail(TERN_USAGE, "%s is %g, expected %g to %g", ranges[i].name, ranges[i].value,
                             ranges[i].least, ranges[i].most);
    for (int i = 0; i < s->bias_count; i++)
        if (s->bias[i].id < 0 || s->bias[i].id >= vocabulary)
            return tern_fail(TERN_USAGE, "logit bias of token %d, expected 0 to %d", s->bias[i].id,
                             vocabulary - 1);
    return TERN_OK;
}

static void *copy_of(const void *from, size_t bytes)
{
    void *copy = tern_take(bytes ? bytes : 1);
    if (copy && bytes) memcpy(copy, from, bytes);
    return copy;
}

tern_status tern_sampler_open(tern_sampler **sampler, const tern_sampling *sampling, int vocabulary)
{
    TERN_TRY(check(sampling, vocabulary));
    tern_sampler *m = tern_take(sizeof *m);
    if (!m) return tern_no_memory(sizeof *m, "a sampler");
    m->s = *sampling;
    m->vocabulary = vocabulary;
    m->s.bias = copy_of(sampling->bias, (size_t)sampling->bias_count * sizeof *sampling->bias);
    m->s.dry_breakers =
        copy_of(sampling->dry_breakers, (size_t)sampling->dry_breaker_count * sizeof(int32_t));
    m->c = tern_take_array((size_t)vocabulary, sizeof *m->c);
    m->seen = tern_take_array((size_t)vocabulary, sizeof *m->seen);
    if (!m->s.bias || !m->s.dry_breakers || !m->c || !m->seen) {
        tern_sampler_close(m);
        return tern_no_memory((size_t)vocabulary * sizeof *m->c, "a sampler");
    }
    tern_sampler_reset(m);
    *sampler = m;
    return TERN_OK;
}

void tern_sampler_close(tern_sampler *m)
{
    if (!m) return;
    tern_release((void *)(uintptr_t)m->s.bias);
    tern_release((void *)(uintptr_t)m->s.dry_breakers);
    tern_release(m->c);
    tern_release(m->seen);
    tern_release(m->history);
    tern_release(m->matches);
    tern_release(m);
}

void tern_sampler_reset(tern_sampler *m)
{
    m->history_count = 0;
    m->draws = 0;
    m->surprise = -1;
    m->mu = 2 * m->s.mirostat_tau;
}

/* ---- log-probabilities --------------------------------------------------------------------------------------------------- */

static double log_sum(const float *logits, int n)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        if (logits[i] > most) most = logits[i];
    for (int i = 0; i < n; i++) sum += exp(logits[i] - most);
    return sum > 0 ? most + log(sum) : most;
}

double tern_log_probability_of(const float *logits, int n, int32_t id)
{
    return id >= 0 && id < n ? logits[id] - log_sum(logits, n) : -INFINITY;
}

int tern_log_probabilities(const float *logits, int n, tern_log_probability *out, int count)
{
    double sum = log_sum(logits, n);
    int have = 0;
    for (int32_t id = 0; id < n; id++) {
        double value = logits[id] - sum;
        if (count <= 0 || (have == count && !(value > out[have - 1].log_probability))) continue;
        int at = have < count ? have++ : have - 1;
        for (; at && value > out[at - 1].log_probability; at--) out[at] = out[at - 1];
        out[at] = (tern_log_probability){id, value};
    }
    return have;
}
