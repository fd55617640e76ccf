/* account: what a language model needs and does, before its weights are read: its metadata, the programs that tern_llm_open would
 * plan, and the cost model of machines. */
#ifndef TERN_LLM_ACCOUNT_H
#define TERN_LLM_ACCOUNT_H

#include "llm/convert.h"
#include "llm/model.h"
#include "machine/machine.h"

/* Bytes that a loaded model holds. */
typedef struct tern_llm_need {
    double weights;   /* tensors, as they lie in the file */
    double metadata;  /* what else is in the file, tokens mostly; it is mapped with them */
    double prepared;  /* what follows from weights and is computed once */
    double cache;     /* keys and values */
    double scratch;   /* arenas of the programs */
    double tokenizer; /* made of the metadata; 0: the model has none */
    double plans;     /* graphs and programs */
    double process;   /* libraries that this process holds, and what code and stacks a model needs */
} tern_llm_need;
double tern_llm_need_total(const tern_llm_need *need);

typedef struct tern_llm_account {
    tern_weights weights;
    tern_transformer about;
    tern_llm_program chunk, part, one; /* part: perhaps none */
    tern_llm_need need;
    int rows; /* of the cache */
} tern_llm_account;

/* Of a model's file or folder, its weights as they are (format NULL) or as tern_model_convert would have them, whatever is lost;
 * fails as tern_llm_open does.  The file is mapped: of the weights no byte is read. */
tern_status tern_llm_account_open(tern_llm_account **account, const char *path,
                                  const tern_model_format *format, const tern_llm_options *options);
/* Of a net of the zoo of which only shapes are known (tern_net's `decoder`): no metadata, no tokenizer. */
tern_status tern_llm_account_shapes(tern_llm_account **account, const tern_net *net, const void *parameters,
                                    const tern_model_format *format, const tern_llm_options *options);
void tern_llm_account_close(tern_llm_account *account);

/* The largest window of layers with which the model runs in `memory` bytes, half of it changing places at once: `window` 0 where
 * all weights fit.  TERN_NO_FIT names what takes the memory, and the least that would do. */
tern_status tern_llm_account_window(const tern_llm_account *account, double memory, int *window, int *moved);

/* What all steps of one operator do together. */
typedef struct tern_llm_share {
    const char *name; /* of the operator */
    int steps;
    tern_work work;
    double bytes, seconds, joules;
} tern_llm_share;
#define TERN_LLM_SHARES 64

/* Compute `count` tokens behind `position` others as tern_llm_feed does, up to the logits of the last one: costs[i] on
 * machines[i], sums over its passes, with the memory of the whole model; *work what is computed, bytes what is read and written.
 * shares[TERN_LLM_SHARES], or NULL: by operator on the first machine; ends at a NULL name. */
typedef struct tern_llm_effort {
    tern_work work;
    double bytes;  /* that operators read and write */
    double passes; /* of a program */
} tern_llm_effort;
tern_status tern_llm_account_cost(const tern_llm_account *account, tern_machine *const *machines,
                                  int machine_count, int position, int count, tern_cost *costs,
                                  tern_llm_effort *effort, tern_llm_share *shares);

#endif
