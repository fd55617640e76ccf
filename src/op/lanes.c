/* Sums in eight lanes as C, which several cores can share. */
#include "op/lanes.h"

#define ARG(field, doc) TERN_ARG(tern_rows_op, field, TERN_ARG_INT, doc)
const tern_arg tern_rows_args[] = {
    ARG(inner, "of codes: places by which a difference times its weight is shifted to the right"),
    ARG(places, "of codes: places by which each term is shifted to the right"),
    {0},
};

enum {
    MANY = 64, /* sums are shared one by one */
    LONG = 16  /* terms of a lane that are written one behind the other */
};

size_t tern_lane_scratch(const tern_call *call)
{
    int64_t sums = tern_elements(&call->out[0].shape);
    bool whole = tern_dtype_of(call->out[0].dtype)->exact_integer;
    return whole || sums >= MANY ? 0 : (size_t)(sums * TERN_SUM_LANES) * sizeof(float);
}

/* The term of a feature. */
static void put_term(const char *term, const char *feature, tern_text *t)
{
    for (; *term; term++)
        if (*term == '@')
            tern_text_put(t, feature);
        else
            tern_text_add(t, term, 1);
}

/* The terms of a lane into `sum`: all of them written where they are few, so that places are known to the compiler. */
static void put_lane(const tern_lane_sums *s, const char *indent, tern_text *t)
{
    char feature[32];
    long long terms = s->features / TERN_SUM_LANES;
    if (s->features % TERN_SUM_LANES == 0 && terms > 0 && terms <= LONG) {
        for (long long k = 0; k < terms; k++) {
            snprintf(feature, sizeof feature, k ? "lane + %lld" : "lane", k * TERN_SUM_LANES);
            tern_text_format(t, "%s%s", indent, k ? "sum += " : "float sum = ");
            put_term(s->term, feature, t);
            tern_text_put(t, ";\n");
        }
        return;
    }
    tern_text_format(t, "%sfloat sum = 0;\n", indent);
    tern_text_format(t, "%sif (lane < %lld) sum = ", indent, s->features);
    put_term(s->term, "lane", t);
    tern_text_format(t, ";\n%sfor (int f = lane + %d; f < %lld; f += %d) sum += ", indent, TERN_SUM_LANES,
                     s->features, TERN_SUM_LANES);
    put_term(s->term, "f", t);
    tern_text_put(t, ";\n");
}

static const char total[] = "((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]))";

static void put_rows(const tern_lane_sums *s, const char *indent, tern_text *t)
{
    if (s->rows > 1)
        tern_text_format(t, "%sconst int b = i / %lld, n = i %% %lld;\n", indent, s->stored, s->stored);
    else
        tern_text_format(t, "%sconst int b = 0, n = i;\n", indent);
    char shape[64];
    snprintf(shape, sizeof shape, "%lld", s->features);
    tern_text_put(t, indent);
    put_term(s->factors, shape, t);
    tern_text_put(t, "\n");
}

/* Sums of integers, each in one go. */
static void put_whole(const tern_lane_sums *s, tern_text *t)
{
    long long sums = s->rows * s->stored;
    tern_text_format(t, "    for (int i = FIRST(%lld); i < LAST(%lld); i++) {\n", sums, sums);
    put_rows(s, "        ", t);
    tern_text_format(t,
                     "        uint32_t sum = 0;\n        for (int f = 0; f < %lld; f++) sum += (uint32_t)(",
                     s->features);
    put_term(s->term, "f", t);
    tern_text_put(t, ");\n        out0[i] = (int32_t)sum;\n    }\n");
}

void tern_emit_lane_sums(const tern_lane_sums *s, tern_text *t)
{
    long long sums = s->rows * s->stored;
    if (s->whole) {
        put_whole(s, t);
    } else if (sums >= MANY) {
        tern_text_format(t, "    for (int i = FIRST(%lld); i < LAST(%lld); i++) {\n", sums, sums);
        put_rows(s, "        ", t);
        tern_text_format(t, "        float l[%d];\n        for (int lane = 0; lane < %d; lane++) {\n",
                         TERN_SUM_LANES, TERN_SUM_LANES);
        put_lane(s, "            ", t);
        tern_text_format(t, "            l[lane] = sum;\n        }\n        out0[i] = %s(%s);\n    }\n",
                         s->bias, total);
    } else {
        tern_text_format(t,
                         "    float *lanes = scratch; /* [sum][lane] */\n\f"
                         "    for (int lane = FIRST(%d); lane < LAST(%d); lane++)\n"
                         "    for (int i = 0; i < %lld; i++) {\n",
                         TERN_SUM_LANES, TERN_SUM_LANES, sums);
        put_rows(s, "        ", t);
        put_lane(s, "        ", t);
        tern_text_format(t,
                         "        lanes[%d * i + lane] = sum;\n    }\n\f"
                         "    for (int i = FIRST(%lld); i < LAST(%lld); i++) {\n",
                         TERN_SUM_LANES, sums, sums);
        tern_text_format(t, "        const float *l = lanes + %d * i;\n", TERN_SUM_LANES);
        if (*s->bias)
            tern_text_format(
                t, s->rows > 1 ? "        const int n = i %% %lld;\n" : "        const int n = i;\n",
                s->stored);
        tern_text_format(t, "        out0[i] = %s(%s);\n    }\n\f", s->bias, total);
    }
}
