/* sampler: the next token from logits.  A chain of steps, each of which changes logits or drops candidates, in an order that
 * can be set; what is left is drawn from by probability.  The same seed gives the same tokens, whatever else runs. */
#ifndef TERN_LLM_SAMPLER_H
#define TERN_LLM_SAMPLER_H

#include "base/base.h"

typedef enum tern_sample_step {
    TERN_SAMPLE_PENALTIES, /* repetition (Keskar et al., 2019), frequency and presence, over the last penalty_last tokens */
    TERN_SAMPLE_DRY, /* tokens that would go on with a repetition */
    TERN_SAMPLE_TOP_K,
    TERN_SAMPLE_TYPICAL, /* nearest to the entropy first (Meister et al., TACL 2023) */
    TERN_SAMPLE_TOP_P,   /* the likeliest that sum to top_p (Holtzman et al., ICLR 2020) */
    TERN_SAMPLE_MIN_P,   /* at least min_p of the likeliest's probability (Nguyen et al., ICLR 2025) */
    TERN_SAMPLE_TEMPERATURE,
    TERN_SAMPLE_STEPS
} tern_sample_step;

typedef struct tern_logit_bias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY forbids the token */
} tern_logit_bias;

/* Begin with tern_sampling_standard: every step off but the temperature, 1, and the order of the enumeration. */
typedef struct tern_sampling {
    double temperature;                         /* 0: always the likeliest */
    int top_k;                                  /* 0: off */
    double top_p, typical_p;                    /* 1: off */
    double min_p;                               /* 0: off */
    double repeat_penalty;                      /* 1: off */
    double frequency_penalty, presence_penalty; /* 0: off */
    int penalty_last;                           /* 64; -1: all */
    double dry_multiplier, dry_base;            /* multiplier 0: off; base 1.75 */
    int dry_allowed, dry_last;                  /* repetitions of 2 are free; -1: look at all */
    const int32_t *dry_breakers;                /* tokens that no repetition goes across */
    int dry_breaker_count;
    int mirostat; /* 1 or 2: instead of the steps that drop candidates (Basu et al., ICLR 2021) */
    double mirostat_tau, mirostat_eta; /* wanted surprise in bits, 5, and the rate of its control, 0.1 */
    const tern_logit_bias *bias;
    int bias_count;
    uint64_t seed;
    tern_sample_step order[TERN_SAMPLE_STEPS];
    int order_count;
} tern_sampling;
tern_sampling tern_sampling_standard(void);
/* "penalties;dry;top_k;typ_p;top_p;min_p;temperature" in any order; steps that are left out are off. */
tern_status tern_sampling_order(tern_sampling *sampling, const char *text);

typedef struct tern_sampler tern_sampler;

/* Copies what it is given.  Fails (TERN_USAGE) with the setting that is out of its range. */
tern_status tern_sampler_open(tern_sampler **sampler, const tern_sampling *sampling, int vocabulary);
void tern_sampler_close(tern_sampler *sampler);
void tern_sampler_reset(tern_sampler *sampler); /* as if just opened */

/* The next token by logits [vocabulary].  allowed: a bit for each token, bit id%64 of word id/64, or NULL for all.  Fails when
 * no token is possible.  Nothing is remembered until tern_sampler_accept. */
tern_status tern_sampler_pick(tern_sampler *sampler, const float *logits, const uint64_t *allowed,
                              int32_t *id);
/* A token that is now part of the text: of the prompt too, where penalties shall see it. */
tern_status tern_sampler_accept(tern_sampler *sampler, int32_t id);

typedef struct tern_log_probability {
    int32_t id;
    double log_probability; /* natural logarithm */
} tern_log_probability;
/* Of one token, and the `count` likeliest in falling order (fewer when the vocabulary is smaller): of the logits as they
 * are, before any step.  Returns how many. */
double tern_log_probability_of(const float *logits, int vocabulary, int32_t id);
int tern_log_probabilities(const float *logits, int vocabulary, tern_log_probability *out, int count);

#endif
