/* llm: samplers, each step against its definition written out in double, the distribution of what is drawn, settings. */
#include "test.h"

#include "llm/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 50 /* tokens */

/* Logits that look like a model's: a few high, a long tail. */
static void make_logits(float logits[N], uint64_t seed)
{
    tern_rng rng = {seed, 5};
    for (int i = 0; i < N; i++) logits[i] = (float)(2.5 * tern_rng_normal(rng, (uint64_t)i));
}

/* ---- the definitions, one candidate list at a time ---------------------------------------------------------------------- */

typedef struct reference {
    double logit[N];
    bool in[N];
} reference;

static void reference_softmax(const reference *r, double p[N])
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += p[i] = r->in[i] ? exp(r->logit[i]) : 0;
    for (int i = 0; i < N; i++) p[i] /= sum;
}

/* How many candidates come before i: more likely ones, and equal ones of smaller id. */
static int reference_rank(const reference *r, int i)
{
    int rank = 0;
    for (int k = 0; k < N; k++)
        rank += r->in[k] && (r->logit[k] > r->logit[i] || (r->logit[k] == r->logit[i] && k < i));
    return rank;
}

static void reference_top_k(reference *r, int k)
{
    reference all = *r;
    for (int i = 0; i < N; i++) r->in[i] = all.in[i] && reference_rank(&all, i) < k;
}

/* In: when what is likelier sums to less than top_p. */
static void reference_top_p(reference *r, double top_p)
{
    reference all = *r;
    double p[N];
    reference_softmax(&all, p);
    for (int i = 0; i < N; i++) {
        double before = 0;
        for (int k = 0; k < N; k++)
            if (all.in[k] && reference_rank(&all, k) < reference_rank(&all, i)) before += p[k];
        r->in[i] = all.in[i] && before < top_p;
    }
}

static void reference_min_p(reference *r, double min_p)
{
    double p[N], most = 0;
    reference_softmax(r, p);
    for (int i = 0; i < N; i++) most = fmax(most, p[i]);
    for (int i = 0; i < N; i++) r->in[i] = r->in[i] && p[i] >= min_p * most;
}

static void reference_typical(reference *r, double mass)
{
    reference all = *r;
    double p[N], entropy = 0;
    reference_softmax(&all, p);
    for (int i = 0; i < N; i++) entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    for (int i = 0; i < N; i++) {
        double before = 0, own = fabs(-log(p[i]) - entropy);
        for (int k = 0; k < N; k++)
            if (all.in[k] && k != i && fabs(-log(p[k]) - entropy) < own) before += p[k];
        r->in[i] = all.in[i] && before < mass;
    }
}

static void reference_penalties(reference *r, const tern_sampling *s, const int32_t *history, int count)
{
    int first = s->penalty_last >= 0 && count > s->penalty_last ? count - s->penalty_last : 0;
    for (int i = 0; i < N; i++) {
        int times = 0;
        for (int k = first; k < count; k++) times += history[k] == i;
        if (!times) continue;
        r->logit[i] = r->logit[i] > 0 ? r->logit[i] / s->repeat_penalty : r->logit[i] * s->repeat_penalty;
        r->logit[i] -= times * s->frequency_penalty + s->presence_penalty;
    }
}

/* For each token t and each place where t stood: how long the text before that place equals the text's end. */
static void reference_dry(reference *r, const tern_sampling *s, const int32_t *history, int count)
{
    int first = s->dry_last >= 0 && count > s->dry_last ? count - s->dry_last : 0;
    for (int t = 0; t < N; t++) {
        int longest = 0;
        for (int place = first + 1; place < count; place++) {
            int length = 0;
            if (history[place] != t) continue;
            while (place - 1 - length >= first &&
                   history[place - 1 - length] == history[count - 1 - length]) {
                bool stop = false;
                for (int b = 0; b < s->dry_breaker_count; b++)
                    stop |= history[count - 1 - length] == s->dry_breakers[b];
                if (stop) break;
                length++;
            }
            if (length > longest) longest = length;
        }
        if (longest >= s->dry_allowed)
            r->logit[t] -= s->dry_multiplier * pow(s->dry_base, longest - s->dry_allowed);
    }
}

static void reference_chain(reference *r, const tern_sampling *s, const int32_t *history, int count)
{
    for (int i = 0; i < s->bias_count; i++) r->logit[s->bias[i].id] += (double)s->bias[i].bias;
    for (int i = 0; i < N; i++) r->in[i] = r->in[i] && r->logit[i] > -INFINITY;
    for (int i = 0; i < s->order_count; i++) {
        switch (s->order[i]) {
        case TERN_SAMPLE_PENALTIES:
            reference_penalties(r, s, history, count);
            break;
        case TERN_SAMPLE_DRY:
            if (s->dry_multiplier > 0) reference_dry(r, s, history, count);
            break;
        case TERN_SAMPLE_TOP_K:
            if (s->top_k) reference_top_k(r, s->top_k);
            break;
        case TERN_SAMPLE_TYPICAL:
            if (s->typical_p < 1) reference_typical(r, s->typical_p);
            break;
        case TERN_SAMPLE_TOP_P:
            if (s->top_p < 1) reference_top_p(r, s->top_p);
            break;
        case TERN_SAMPLE_MIN_P:
            if (s->min_p > 0) reference_min_p(r, s->min_p);
            break;
        default:
            for (int k = 0; k < N; k++) r->logit[k] /= s->temperature;
            break;
        }
    }
}

/* ---- against what is drawn ------------------------------------------------------------------------------------------------ */

#define DRAWS 20000

/* Draws with the numbers of one seed; the counts must fit the probabilities: what has none never comes, and the sum of
 * squared differences (chi-square) stays within 6 standard deviations of its mean. */
static void check_distribution(const tern_sampling *s, const float logits[N], const int32_t *history,
                               int count, const uint64_t *allowed, const char *name)
{
    tern_sampler *m;
    reference r;
    double p[N], chi = 0;
    int counts[N] = {0}, kinds = 0;
    for (int i = 0; i < N; i++) {
        r.logit[i] = logits[i];
        r.in[i] = !allowed || (allowed[0] >> i & 1);
    }
    reference_chain(&r, s, history, count);
    reference_softmax(&r, p);
    assert_ok(tern_sampler_open(&m, s, N));
    for (int i = 0; i < count; i++) assert_ok(tern_sampler_accept(m, history[i]));
    for (int i = 0; i < DRAWS; i++) {
        int32_t id;
        assert_ok(tern_sampler_pick(m, logits, allowed, &id));
        counts[id]++;
        if (count) { /* the history stays as it is: a new sampler, whose seed says which draw it is */
            tern_sampling next = *s;
            tern_sampler_close(m);
            next.seed = s->seed + (uint64_t)i + 1;
            assert_ok(tern_sampler_open(&m, &next, N));
            for (int k = 0; k < count; k++) assert_ok(tern_sampler_accept(m, history[k]));
        } else {
            assert_ok(tern_sampler_accept(m, id));
        }
        if (count && i == DRAWS / 4) break;
    }
    int draws = 0;
    for (int i = 0; i < N; i++) draws += counts[i];
    for (int i = 0; i < N; i++) {
        if (p[i] == 0 && counts[i])
            fail_msg("%s: token %d came %d times, expected never", name, i, counts[i]);
        if (p[i] * draws < 3) continue;
        chi += (counts[i] - p[i] * draws) * (counts[i] - p[i] * draws) / (p[i] * draws);
        kinds++;
    }
    if (chi > kinds + 6 * sqrt(2.0 * kinds) + 3)
        fail_msg("%s: chi-square %g over %d tokens", name, chi, kinds);
    tern_sampler_close(m);
}

static void test_steps(void **state)
{
    (void)state;
    static const tern_logit_bias bias[] = {{3, 2.5f}, {7, -INFINITY}, {9, -1}};
    static const uint64_t allowed = 0x2AAAAAAAAAAAAu;
    float logits[N];
    make_logits(logits, 1);
    tern_sampling s[12];
    for (size_t i = 0; i < TERN_COUNT(s); i++)
        s[i] = tern_sampling_standard(), s[i].seed = 10 + i, s[i].penalty_last = 0;
    s[1].temperature = 0.7;
    s[2].temperature = 1.8;
    s[3].top_k = 7;
    s[4].top_p = 0.8;
    s[5].min_p = 0.1;
    s[6].typical_p = 0.6;
    s[7].bias = bias, s[7].bias_count = 3;
    s[8].top_k = 20, s[8].top_p = 0.9, s[8].min_p = 0.05, s[8].temperature = 0.8;
    s[9] = s[8];
    assert_ok(tern_sampling_order(&s[9], "temperature;min_p;top_p;top_k"));
    s[10].top_k = 1;
    s[11].top_p = 0.95, s[11].typical_p = 0.9, s[11].temperature = 1.2;
    for (size_t i = 0; i < TERN_COUNT(s); i++) {
        char name[32];
        snprintf(name, sizeof name, "setting %zu", i);
        check_distribution(&s[i], logits, NULL, 0, NULL, name);
        check_distribution(&s[i], logits, NULL, 0, &allowed, name);
    }
}

static void test_penalties_and_dry(void **state)
{
    (void)state;
    static const int32_t history[] = {1, 2, 3, 4, 5, 9, 1, 2, 3, 4, 6, 8, 1,
                                      2, 3, 4, 6, 7, 2, 3, 9, 1, 2, 3, 4};
    static const int32_t breakers[] = {2};
    float logits[N];
    make_logits(logits, 2);
    tern_sampling s[6];
    for (size_t i = 0; i < TERN_COUNT(s); i++) s[i] = tern_sampling_standard(), s[i].seed = 100000 * i;
    s[0].repeat_penalty = 1.3;
    s[1].frequency_penalty = 0.4, s[1].presence_penalty = 0.3, s[1].penalty_last = 9;
    s[2].dry_multiplier = 0.8;
    s[3].dry_multiplier = 0.8, s[3].dry_last = 12, s[3].dry_allowed = 3;
    s[4].dry_multiplier = 1.5, s[4].dry_breakers = breakers, s[4].dry_breaker_count = 1;
    s[5] = s[2], s[5].repeat_penalty = 1.1, s[5].penalty_last = -1, s[5].top_k = 10;
    for (size_t i = 0; i < TERN_COUNT(s); i++) {
        char name[32];
        snprintf(name, sizeof name, "setting %zu", i);
        check_distribution(&s[i], logits, history, TERN_COUNT(history), NULL, name);
    }
}

/* Random histories of few tokens, where repetitions abound: the token of temperature 0 is that of the definition. */
static void test_greedy_with_history(void **state)
{
    (void)state;
    tern_rng rng = {77, 1};
    for (uint64_t round = 0; round < 300; round++) {
        tern_sampling s = tern_sampling_standard();
        int32_t history[40], id, best = 0;
        float logits[N];
        reference r;
        tern_sampler *m;
        make_logits(logits, 1000 + round);
        s.temperature = 0;
        s.dry_multiplier = 0.5 + (double)(round % 5);
        s.repeat_penalty = round % 2 ? 1.2 : 1;
        s.dry_last = round % 3 ? -1 : 17;
        for (uint64_t i = 0; i < 40; i++) history[i] = (int32_t)tern_rng_below(rng, round * 40 + i, 3);
        for (int i = 0; i < N; i++) r.logit[i] = logits[i], r.in[i] = true;
        s.temperature = 1;
        reference_chain(&r, &s, history, 40);
        s.temperature = 0;
        for (int i = 1; i < N; i++)
            if (r.logit[i] > r.logit[best]) best = i;
        assert_ok(tern_sampler_open(&m, &s, N));
        for (int i = 0; i < 40; i++) assert_ok(tern_sampler_accept(m, history[i]));
        assert_ok(tern_sampler_pick(m, logits, NULL, &id));
        assert_int_equal(id, best);
        tern_sampler_close(m);
    }
}

/* Large vocabularies take other paths: the same candidates. */
/* The way without a list of candidates against the definition: biases, several of one token too, masks, equal logits, NaN and infinity. */
static void test_plain_greedy(void **state)
{
    (void)state;
    tern_rng rng = {31, 7};
    uint64_t drawn = 0;
    for (int round = 0; round < 2000; round++) {
        float logits[N], biased[N];
        uint64_t allowed = ~(uint64_t)0;
        tern_logit_bias bias[6];
        tern_sampling s = tern_sampling_standard();
        tern_sampler *m;
        int32_t id, expected = -1;
        s.temperature = 0;
        s.bias = bias;
        s.bias_count = (int)tern_rng_below(rng, drawn++, 7);
        for (int i = 0; i < N; i++) biased[i] = logits[i] = (float)tern_rng_below(rng, drawn++, 12) - 6;
        for (int i = 0; round % 3 == 0 && i < 4; i++)
            logits[tern_rng_below(rng, drawn++, N)] = i == 0 ? NAN : i == 1 ? INFINITY : -INFINITY;
        memcpy(biased, logits, sizeof biased);
        for (int i = 0; i < s.bias_count; i++) {
            bias[i].id = (int32_t)tern_rng_below(rng, drawn++, N);
            bias[i].bias = i % 3 == 2 ? -INFINITY : (float)tern_rng_below(rng, drawn++, 9) - 4;
            biased[bias[i].id] += bias[i].bias;
        }
        if (round % 2) allowed = (uint64_t)tern_rng_u32(rng, drawn++) * 0x10001;
        for (int i = 0; i < N; i++)
            if ((allowed >> i & 1) && biased[i] > -INFINITY && biased[i] <= FLT_MAX &&
                (expected < 0 || biased[i] > biased[expected]))
                expected = i;
        assert_ok(tern_sampler_open(&m, &s, N));
        if (expected < 0) {
            assert_error(tern_sampler_pick(m, logits, &allowed, &id), TERN_FAILED, "no token is possible");
        } else {
            assert_ok(tern_sampler_pick(m, logits, round % 2 ? &allowed : NULL, &id));
            assert_int_equal(id, expected);
        }
        tern_sampler_close(m);
    }
}

static void test_large(void **state)
{
    (void)state;
    enum { BIG = 50000 };
    float *logits = malloc(BIG * sizeof *logits);
    double sum = 0, before = 0;
    tern_sampling s = tern_sampling_standard();
    tern_sampler *m;
    int32_t id;
    tern_rng rng = {3, 3};
    for (uint64_t i = 0; i < BIG; i++)
        logits[i] = (float)(0.5 * floor(6 * tern_rng_normal(rng, i))); /* many equal ones */
    for (int i = 0; i < BIG; i++) sum += exp(logits[i]);
    s.top_p = 0.5;
    assert_ok(tern_sampler_open(&m, &s, BIG));
    for (int i = 0; i < 200; i++) {
        assert_ok(tern_sampler_pick(m, logits, NULL, &id));
        assert_ok(tern_sampler_accept(m, id));
        before = 0;
        for (int k = 0; k < BIG; k++)
            if (logits[k] > logits[id] || (logits[k] == logits[id] && k < id)) before += exp(logits[k]) / sum;
        assert_true(before < 0.5 + 1e-9);
    }
    tern_sampler_close(m);
    free(logits);
}

/* Version 2 keeps what is no more surprising than its bound, which moves by the surprise of each draw; and in the long run
 * the mean surprise of both is what was asked for. */
static void test_mirostat(void **state)
{
    (void)state;
    enum { BIG = 2000 };
    float logits[BIG];
    for (int i = 0; i < BIG; i++) logits[i] = (float)(-1.1 * log(i + 1)); /* Zipf's law */
    for (int version = 1; version <= 2; version++) {
        tern_sampling s = tern_sampling_standard();
        tern_sampler *m;
        double mu, mean = 0;
        int rounds = 3000;
        s.mirostat = version;
        s.mirostat_tau = 4;
        s.seed = 5;
        mu = 2 * s.mirostat_tau;
        assert_ok(tern_sampler_open(&m, &s, BIG));
        for (int round = 0; round < rounds; round++) {
            double whole = 0, kept = 0, surprise;
            int32_t id;
            int last = 0;
            for (int i = 0; i < BIG; i++) whole += exp(logits[i]);
            if (version == 2) {
                while (last + 1 < BIG && -log2(exp(logits[last + 1]) / whole) <= mu) last++;
            } else { /* the exponent of exact Zipf logits is 1.1 */
                double e = 0.1, k = pow(e * pow(2, mu) / (1 - pow(BIG, -e)), 1 / 1.1);
                last = k < 1 ? 0 : k > BIG ? BIG - 1 : (int)(k + 1e-6) - 1;
            }
            for (int i = 0; i <= last; i++) kept += exp(logits[i]);
            assert_ok(tern_sampler_pick(m, logits, NULL, &id));
            assert_ok(tern_sampler_accept(m, id));
            assert_true(id <= last + 1); /* one of rounding at the edge */
            surprise = -log2(exp(logits[id]) / kept);
            mu -= s.mirostat_eta * (surprise - s.mirostat_tau);
            mean += surprise / rounds;
        }
        if (fabs(mean - s.mirostat_tau) > 0.1)
            fail_msg("mirostat %d: mean surprise %g bits, expected 4", version, mean);
        tern_sampler_close(m);
    }
}

static void test_seeds(void **state)
{
    (void)state;
    float logits[N];
    int32_t ids[3][50];
    make_logits(logits, 4);
    for (int run = 0; run < 3; run++) {
        tern_sampling s = tern_sampling_standard();
        tern_sampler *m;
        s.seed = run == 2 ? 2 : 1;
        assert_ok(tern_sampler_open(&m, &s, N));
        for (int i = 0; i < 50; i++) {
            int32_t again;
            assert_ok(tern_sampler_pick(m, logits, NULL, &ids[run][i]));
            assert_ok(tern_sampler_pick(m, logits, NULL, &again)); /* nothing is remembered before accept */
            assert_int_equal(again, ids[run][i]);
            assert_ok(tern_sampler_accept(m, ids[run][i]));
        }
        if (run == 0) { /* reset: from the beginning */
            int32_t first;
            tern_sampler_reset(m);
            assert_ok(tern_sampler_pick(m, logits, NULL, &first));
            assert_int_equal(first, ids[0][0]);
        }
        tern_sampler_close(m);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_not_equal(ids[0], ids[2], sizeof ids[0]);
}

static void test_log_probabilities(void **state)
{
    (void)state;
    float logits[N];
    tern_log_probability top[5], all[N + 10];
    double sum = 0;
    make_logits(logits, 6);
    for (int i = 0; i < N; i++) sum += exp(logits[i]);
    for (int i = 0; i < N; i++)
        assert_true(fabs(tern_log_probability_of(logits, N, i) - log(exp(logits[i]) / sum)) < 1e-9);
    assert_int_equal(tern_log_probabilities(logits, N, top, 5), 5);
    assert_int_equal(tern_log_probabilities(logits, N, all, N + 10), N);
    for (int i = 0; i < 5; i++) assert_int_equal(top[i].id, all[i].id);
    for (int i = 1; i < N; i++) assert_true(all[i].log_probability <= all[i - 1].log_probability);
    for (int i = 0; i < N; i++)
        assert_true(fabs(all[i].log_probability - tern_log_probability_of(logits, N, all[i].id)) < 1e-12);
}

static void test_messages(void **state)
{
    (void)state;
    tern_sampling s = tern_sampling_standard();
    tern_sampler *m;
    int32_t id;
    float logits[N];
    uint64_t none = 0;
    for (int i = 0; i < N; i++) logits[i] = i % 2 ? NAN : -INFINITY;
    assert_ok(tern_sampler_open(&m, &s, N));
    assert_error(tern_sampler_pick(m, logits, NULL, &id), TERN_FAILED, "no token is possible");
    logits[8] = 1, logits[9] = INFINITY;
    assert_ok(tern_sampler_pick(m, logits, NULL, &id));
    assert_int_equal(id, 8);
    assert_error(tern_sampler_pick(m, logits, &none, &id), TERN_FAILED, "no token is possible");
    assert_error(tern_sampler_accept(m, N), TERN_USAGE, "expected 0 to 49");
    tern_sampler_close(m);
    s.top_p = 1.5;
    assert_error(tern_sampler_open(&m, &s, N), TERN_USAGE, "top_p is 1.5, expected 0 to 1");
    s.top_p = NAN;
    assert_error(tern_sampler_open(&m, &s, N), TERN_USAGE, "top_p is");
    s = tern_sampling_standard();
    s.bias = (tern_logit_bias[]){{99, 1}}, s.bias_count = 1;
    assert_error(tern_sampler_open(&m, &s, N), TERN_USAGE, "logit bias of token 99");
    assert_error(tern_sampling_order(&s, "top_k;top_q"), TERN_USAGE, "the sampler \"top_q\": expected");
}

static tern_status use_all(void)
{
    float logits[N];
    tern_sampling s = tern_sampling_standard();
    tern_sampler *m;
    tern_status status = TERN_OK;
    int32_t id;
    make_logits(logits, 8);
    s.dry_multiplier = 1, s.top_k = 5;
    TERN_TRY(tern_sampler_open(&m, &s, N));
    for (int i = 0; i < 300 && status == TERN_OK; i++) {
        status = tern_sampler_pick(m, logits, NULL, &id);
        if (status == TERN_OK) status = tern_sampler_accept(m, id);
    }
    tern_sampler_close(m);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(use_all());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_penalties_and_dry),
        cmocka_unit_test(test_greedy_with_history),
        cmocka_unit_test(test_plain_greedy),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_mirostat),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_log_probabilities),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
