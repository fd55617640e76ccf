/* The nets as a list, and their parameters by name. */
#include "zoo.h"

#include "base/base.h"

#include <string.h>

#define DECLARE(id)                                                                                          \
    extern const tern_net tern_net_##id, tern_net_##id##_delta, tern_net_##id##_regroup,                     \
        tern_net_##id##_int8, tern_net_##id##_qat, tern_net_##id##_qfx, tern_net_##id##_fixed,               \
        tern_net_##id##_half;
TERN_NETS(DECLARE)
#define DECLARE_ONE(id) extern const tern_net tern_net_##id;
TERN_DECODERS(DECLARE_ONE)
TERN_CLASSICS(DECLARE_ONE)
#define DECLARE_FIXED16(id) extern const tern_net tern_net_##id##_fixed16;
TERN_CLASSICS16(DECLARE_FIXED16)
#define LIST(id)         &tern_net_##id,
#define LIST_DELTA(id)   &tern_net_##id##_delta,
#define LIST_REGROUP(id) &tern_net_##id##_regroup,
#define LIST_INT8(id)    &tern_net_##id##_int8,
#define LIST_QAT(id)     &tern_net_##id##_qat,
#define LIST_HALF(id)    &tern_net_##id##_half,
#define LIST_FIXED(id)   &tern_net_##id##_qfx, &tern_net_##id##_fixed,
#define LIST_FIXED16(id) &tern_net_##id##_fixed16,
static const tern_net *const nets[] = {TERN_NETS(LIST) NULL};
static const tern_net *const delta_nets[] = {TERN_NETS(LIST_DELTA) NULL};
static const tern_net *const regroup_nets[] = {TERN_NETS(LIST_REGROUP) NULL};
static const tern_net *const int8_nets[] = {TERN_NETS(LIST_INT8) NULL};
static const tern_net *const qat_nets[] = {TERN_NETS(LIST_QAT) NULL};
static const tern_net *const half_nets[] = {TERN_NETS(LIST_HALF) NULL};
static const tern_net *const fixed_nets[] = {TERN_NETS(LIST_FIXED) NULL};
static const tern_net *const decoders[] = {TERN_DECODERS(LIST) NULL};
static const tern_net *const classics[] = {TERN_CLASSICS(LIST) NULL};
static const tern_net *const classics16[] = {TERN_CLASSICS16(LIST_FIXED16) NULL};

int tern_in_eights(double wanted)
{
    int rounded = (int)(wanted + 4) / 8 * 8;
    if (rounded < 8) rounded = 8;
    return rounded < 0.9 * wanted ? rounded + 8 : rounded;
}

const tern_net *tern_net_at(int index)
{
    return index >= 0 && index < (int)TERN_COUNT(nets) ? nets[index] : NULL;
}

const tern_net *tern_decoder_at(int index)
{
    return index >= 0 && index < (int)TERN_COUNT(decoders) ? decoders[index] : NULL;
}

const tern_net *tern_classic_at(int index)
{
    return index >= 0 && index < (int)TERN_COUNT(classics) ? classics[index] : NULL;
}

const tern_net *tern_net_find(const char *name)
{
    for (int i = 0; nets[i]; i++)
        if (strcmp(nets[i]->name, name) == 0) return nets[i];
    for (int i = 0; delta_nets[i]; i++)
        if (!delta_nets[i]->spiking && strcmp(delta_nets[i]->name, name) == 0) return delta_nets[i];
    for (int i = 0; regroup_nets[i]; i++)
        if (strcmp(regroup_nets[i]->name, name) == 0) return regroup_nets[i];
    for (int i = 0; int8_nets[i]; i++)
        if (!int8_nets[i]->spiking && strcmp(int8_nets[i]->name, name) == 0) return int8_nets[i];
    for (int i = 0; qat_nets[i]; i++)
        if (!qat_nets[i]->spiking && strcmp(qat_nets[i]->name, name) == 0) return qat_nets[i];
    for (int i = 0; half_nets[i]; i++)
        if (!half_nets[i]->spiking && strcmp(half_nets[i]->name, name) == 0) return half_nets[i];
    for (int i = 0; fixed_nets[i]; i++)
        if (!fixed_nets[i]->spiking && strcmp(fixed_nets[i]->name, name) == 0) return fixed_nets[i];
    for (int i = 0; decoders[i]; i++)
        if (strcmp(decoders[i]->name, name) == 0) return decoders[i];
    for (int i = 0; classics[i]; i++)
        if (strcmp(classics[i]->name, name) == 0) return classics[i];
    for (int i = 0; classics16[i]; i++)
        if (strcmp(classics16[i]->name, name) == 0) return classics16[i];
    return NULL;
}

static const tern_option *option(const tern_net *net, const char *name)
{
    for (const tern_option *o = net->options; o->name; o++)
        if (strcmp(o->name, name) == 0) return o;
    return NULL;
}

static tern_status unknown(const tern_net *net, const char *name)
{
    tern_text known = {0};
    for (const tern_option *o = net->options; o->name; o++)
        tern_text_format(&known, "%s%s", known.size ? ", " : "", o->name);
    tern_status status = tern_fail(TERN_USAGE, "net %s has no parameter \"%s\"; it has %s", net->name, name,
                                   known.data ? known.data : "none");
    tern_text_free(&known);
    return status;
}

tern_status tern_net_parameters(const tern_net *net, void **parameters)
{
    char *p = tern_take(net->size);
    if (!p) return tern_no_memory(net->size, "parameters of a net");
    *parameters = p;
    for (const tern_option *o = net->options; o->name; o++) {
        if (o->real)
            *(double *)(void *)(p + o->offset) = o->standard;
        else
            *(int *)(void *)(p + o->offset) = (int)o->standard;
    }
    return TERN_OK;
}

tern_status tern_net_set(const tern_net *net, void *parameters, const char *name, double value)
{
    const tern_option *o = option(net, name);
    char *field = (char *)parameters;
    if (!o) return unknown(net, name);
    if (o->real) {
        *(double *)(void *)(field + o->offset) = value;
    } else {
        if (!(value > -2147483648.0 && value < 2147483648.0) || value != (int)value)
            return tern_fail(TERN_USAGE, "parameter %s of net %s is %g, expected a whole number", name,
                             net->name, value);
        *(int *)(void *)(field + o->offset) = (int)value;
    }
    return TERN_OK;
}

tern_status tern_net_get(const tern_net *net, const void *parameters, const char *name, double *value)
{
    const tern_option *o = option(net, name);
    const char *field = (const char *)parameters;
    if (!o) return unknown(net, name);
    *value = o->real ? *(const double *)(const void *)(field + o->offset)
                     : *(const int *)(const void *)(field + o->offset);
    return TERN_OK;
}

void tern_net_free(void *parameters)
{
    tern_release(parameters);
}
