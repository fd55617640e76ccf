/* The three nets that were published with on-device training under 256 KB (github.com/mit-han-lab/tiny-training, MIT), and the
 * plans that go with them: what learning takes by the paper's formula, byte for byte, and by Tern's planner.  The nets are not
 * here: $TERN_TINY_TRAINING names the folder of their files, algorithm/assets/mcu_models. */
#ifndef TERN_PROOF_TINY_TRAINING_H
#define TERN_PROOF_TINY_TRAINING_H

#include "proof.h"

#include "tflite/tflite.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum { TINY_PLANS = 5, TINY_LAYERS = 8 };

/* Biases of the last so many convolutions, and shares of the input channels of some, counted from the first.  Of the bytes each
 * plan is called by the floor of the KiB. */
typedef struct tiny_plan {
    int biases;
    double bytes;
    struct {
        int convolution;
        double share;
    } weights[TINY_LAYERS];
} tiny_plan;

typedef struct tiny_net {
    const char *name;
    double all; /* KiB that learning of all takes, as published */
    tiny_plan plans[TINY_PLANS];
} tiny_net;

static const tiny_net tiny_nets[] = {
    {"mcunet-5fps",
     1400.4,
     {{20, 50944, {{24, .25}, {27, .5}, {30, .5}}},
      {21, 76608, {{21, 1}, {24, 1}, {27, .5}, {30, 1}}},
      {22, 102240, {{21, 1}, {24, 1}, {27, 1}, {30, 1}, {36, .125}, {39, .25}}},
      {24, 127968, {{21, .25}, {24, 1}, {27, 1}, {30, 1}, {33, .5}, {39, .5}}},
      {23, 151968, {{21, 1}, {24, 1}, {27, 1}, {30, 1}, {36, 1}, {39, .5}}}}},
    {"mbv2-w0.35",
     1306.4,
     {{16, 51002, {{36, 1}, {39, 1}, {41, .25}, {42, .125}, {45, .125}, {48, .125}, {49, .125}}},
      {20, 75648, {{32, .125}, {33, .5}, {36, .5}, {39, 1}, {41, .25}, {42, .125}, {45, .125}, {48, 1}}},
      {25, 101792, {{27, 1}, {30, 1}, {33, 1}, {36, 1}, {39, 1}, {42, .125}, {45, .5}, {48, 1}}},
      {31, 126528, {{27, 1}, {30, 1}, {33, 1}, {36, 1}, {39, 1}, {42, .5}, {45, 1}, {48, 1}}},
      {34, 141568, {{27, 1}, {30, 1}, {33, 1}, {36, 1}, {39, 1}, {42, 1}, {45, 1}, {48, 1}}}}},
    {"proxyless-w0.3",
     1210.7,
     {{21, 50848, {{39, .25}, {42, 1}, {45, 1}, {51, .125}, {54, .25}, {57, .25}}},
      {28, 76672, {{33, .5}, {36, .25}, {39, 1}, {42, 1}, {45, 1}, {51, .5}, {54, .25}, {57, .5}}},
      {25, 100896, {{36, 1}, {39, .5}, {42, 1}, {45, 1}, {48, .25}, {51, .5}, {54, 1}, {57, 1}}},
      {32, 123136, {{36, 1}, {39, 1}, {42, 1}, {45, 1}, {48, .5}, {51, 1}, {54, 1}, {57, 1}}},
      {45, 151776, {{36, 1}, {39, 1}, {42, 1}, {45, 1}, {48, 1}, {51, 1}, {54, 1}, {57, 1}}}}},
};

/* One of them as a file that learns ten classes, with its inference graph. */
typedef struct tiny_subject {
    tern_tflite *file;
    void *parameters;
    const tern_net *net;
    tern_graph *graph;
} tiny_subject;

static inline void tiny_close(tiny_subject *s)
{
    tern_graph_close(s->graph);
    tern_net_free(s->parameters);
    tern_tflite_close(s->file);
}

static inline bool tiny_open(tiny_subject *s, const char *folder, const char *name, int pixels)
{
    char line[1024], path[128];
    snprintf(path, sizeof path, "build/proof-6.5-%s-%d.tflite", name, pixels);
    snprintf(line, sizeof line, "python3 scripts/mcu-tflite '%s/%s.pkl' --classes 10 --input %d -o %s",
             folder, name, pixels, path);
    if (system(line) != 0) return false;
    PROOF_OK(tern_tflite_open(&s->file, path));
    PROOF_OK(tern_tflite_learn(s->file));
    PROOF_OK(tern_tflite_parameters(s->file, &s->parameters));
    s->net = tern_tflite_net(s->file);
    PROOF_OK(tern_model_plain_graph(&s->graph, s->net, s->parameters, &s->net->sample, 1, 0));
    return true;
}

/* "bias=21,head,conv38=0.25": the same plan in Tern's words, whose products end with the head. */
static inline void tiny_update(const tiny_subject *s, const tiny_plan *plan, tern_int8_update_plan *update)
{
    tern_text text = {0};
    int product = 0;
    tern_text_format(&text, "bias=%d,head", plan->biases + 1);
    for (int n = 0; n < s->graph->node_count; n++) {
        const tern_node *node = s->graph->nodes[n];
        if (strcmp(node->op->name, "conv2d_int8") != 0) continue;
        for (int i = 0; i < TINY_LAYERS; i++)
            if (plan->weights[i].share > 0 && plan->weights[i].convolution == product)
                tern_text_format(&text, ",%s=%g", node->layer, plan->weights[i].share);
        product++;
    }
    PROOF_OK(tern_int8_update_parse(text.data, update));
    tern_text_free(&text);
}

static inline double tiny_bytes(const tiny_subject *s, const char *update)
{
    tern_int8_update_plan plan;
    double bytes;
    PROOF_OK(tern_int8_update_parse(update, &plan));
    PROOF_OK(tern_int8_update_bytes(s->graph, &plan, &bytes));
    return bytes;
}

/* Arena and learned parameters of a step, as planned. */
static inline double tiny_planned(const tiny_subject *s, const tern_int8_update_plan *update)
{
    tern_graph *g;
    tern_program *p;
    PROOF_OK(tern_int8_step_program(&g, &p, s->net, s->parameters, &s->net->sample, 1, update));
    double bytes = (double)p->arena_bytes;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM && g->values[i].next.id)
            bytes += (double)p->places[i].bytes;
    tern_program_close(p);
    tern_graph_close(g);
    return bytes;
}

static inline double tiny_inference(const tiny_subject *s)
{
    tern_program *p;
    PROOF_OK(tern_plan(&p, s->graph, &(tern_plan_options){.reference = true, .compact = true}));
    double bytes = (double)p->arena_bytes;
    tern_program_close(p);
    return bytes;
}

static inline void tiny_check_net(proof *p, const tiny_subject *s, const tiny_net *net)
{
    char name[96];
    double inference = tiny_inference(s);
    for (int i = 0; i < TINY_PLANS; i++) {
        tern_int8_update_plan update;
        double bytes;
        tiny_update(s, &net->plans[i], &update);
        PROOF_OK(tern_int8_update_bytes(s->graph, &update, &bytes));
        snprintf(name, sizeof name, "%s-%dkb-bytes", net->name, (int)(net->plans[i].bytes / 1024));
        proof_equal(p, name, bytes, net->plans[i].bytes);
        double planned = tiny_planned(s, &update);
        snprintf(name, sizeof name, "%s-%dkb-planned-against-formula", net->name,
                 (int)(net->plans[i].bytes / 1024));
        proof_at_least(p, name, planned, bytes);
        snprintf(name, sizeof name, "%s-%dkb-planned-against-formula-and-inference-and-a-tenth", net->name,
                 (int)(net->plans[i].bytes / 1024));
        proof_at_most(p, name, planned, 1.1 * (bytes + inference));
    }
    snprintf(name, sizeof name, "%s-all-KiB", net->name);
    proof_equal(p, name, round(10 * tiny_bytes(s, "all") / 1024) / 10, net->all);
}

/* The fifteen plans and the published totals. */
static inline void tiny_check(proof *p)
{
    const char *folder = getenv("TERN_TINY_TRAINING");
    if (!folder) {
        proof_skip(p, "fifteen-memory-figures",
                   "the authors' nets: $TERN_TINY_TRAINING, the folder algorithm/assets/mcu_models of "
                   "github.com/mit-han-lab/tiny-training");
        return;
    }
    for (size_t i = 0; i < TERN_COUNT(tiny_nets); i++) {
        tiny_subject s = {0};
        if (!tiny_open(&s, folder, tiny_nets[i].name, 128)) {
            proof_skip(p, tiny_nets[i].name, "its file in $TERN_TINY_TRAINING, and python3");
            continue;
        }
        tiny_check_net(p, &s, &tiny_nets[i]);
        if (i == 0)
            proof_equal(p, "mcunet-5fps-last-12-KiB", round(100 * tiny_bytes(&s, "last=13") / 1024) / 100,
                        448.05);
        tiny_close(&s);
    }
}

#endif
