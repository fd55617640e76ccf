/* tern cost MODEL --slo T [--solve LIST]: times that are to be met, and the least machine that does. */
#include "cli/cost_serving.h"
#include "machine/model.h"

#include <string.h>

/* The next of several parts with commas between; *rest goes on behind it. */
static bool next_part(const char **rest, char part[64])
{
    size_t length = strcspn(*rest, ",");
    if (!**rest || length >= 64) return false;
    memcpy(part, *rest, length);
    part[length] = 0;
    *rest += length + ((*rest)[length] == ',');
    return true;
}

tern_status tern_serving_read_target(tern_serving_job *job)
{
    const char *text = tern_cli_text(job->cli, "slo"), *rest = text;
    char part[64];
    bool solve = tern_cli_has(job->cli, "solve");
    if (!text)
        return solve ? tern_fail(TERN_USAGE, "cost: --solve needs times to meet: --slo ttft=200ms,tpot=20ms")
                     : TERN_OK;
    if (!*text) return tern_fail(TERN_USAGE, "--slo is empty, expected for example ttft=200ms,tpot=20ms");
    while (next_part(&rest, part)) {
        double *to = strncmp(part, "ttft=", 5) == 0   ? &job->target.first
                     : strncmp(part, "tpot=", 5) == 0 ? &job->target.token
                                                      : NULL;
        if (!to)
            return tern_fail(
                TERN_USAGE, "--slo: found \"%s\", expected ttft=TIME (first token) or tpot=TIME (next token)",
                part);
        tern_status status = tern_parse_quantity(part + 5, TERN_IN_SECONDS, to, NULL);
        if (status != TERN_OK) return tern_in(TERN_USAGE, "--slo %.4s", part);
    }
    return *rest ? tern_fail(TERN_USAGE, "--slo: \"%.60s\" is too long", rest) : TERN_OK;
}

static tern_status read_resources(const char *text, tern_resource resources[TERN_RESOURCES], int *count)
{
    char part[64];
    *count = 0;
    for (const char *rest = text; next_part(&rest, part);) {
        int r = 0;
        while (r < TERN_RESOURCES && strcmp(tern_resource_names[r], part) != 0) r++;
        if (r == TERN_RESOURCES) return tern_unknown("resource", part, tern_resource_names, TERN_RESOURCES);
        for (int i = 0; i < *count; i++)
            if (resources[i] == (tern_resource)r)
                return tern_fail(TERN_USAGE, "--solve names %s twice", part);
        resources[(*count)++] = (tern_resource)r;
    }
    return *count ? TERN_OK
                  : tern_fail(TERN_USAGE, "--solve is empty, expected some of flops,bw,capacity,link");
}

/* What the machine has of a resource, in the unit that its file takes. */
static double amount_of(const tern_serving_job *job, const tern_machine *m, tern_resource resource,
                        const char **unit)
{
    tern_dtype format = job->plan.genz ? TERN_BF16 : job->serving.way.format;
    double most = 0;
    const tern_tier *t = tern_machine_main(m);
    *unit = resource == TERN_RESOURCE_RATE ? "FLOP/s" : resource == TERN_RESOURCE_CAPACITY ? "B" : "B/s";
    switch (resource) {
    case TERN_RESOURCE_BANDWIDTH:
        return t->bandwidth;
    case TERN_RESOURCE_CAPACITY:
        return t->size;
    case TERN_RESOURCE_LINK:
        for (int i = m->link_count - 1; i >= 0; i--)
            if (!m->links[i].host || most == 0) most = m->links[i].bandwidth;
        return most;
    default:
        for (int i = 0; i < m->unit_count; i++) {
            const double *rates = m->units[i].rate[TERN_MAC];
            tern_dtype used = tern_machine_format(rates, format);
            if (used != TERN_DTYPES && rates[used] > most) most = rates[used];
        }
        return 2 * most; /* a multiply-accumulate is two operations */
    }
}

static void print_least(const tern_serving_job *job, const tern_machine *before, const tern_machine *after,
                        const tern_resource *resources, const bool *needed, int count, json_t *into)
{
    tern_grid g = {0};
    char a[24], b[24];
    const char *unit;
    bool print = !job->cli->json && !job->csv;
    json_t *least = json_object();
    tern_grid_row(&g, "a device has|%s|the least that does|of it", before->name);
    if (job->csv && !job->cli->json) puts("resource,unit,has,least,needed");
    for (int i = 0; i < count; i++) {
        const char *name = tern_resource_names[resources[i]];
        double has = amount_of(job, before, resources[i], &unit),
               wants = amount_of(job, after, resources[i], &unit);
        json_object_set_new(
            least, name,
            json_pack("{s:s,s:f,s:f,s:b}", "unit", unit, "has", has, "least", wants, "needed", needed[i]));
        if (job->csv && !job->cli->json)
            printf("%s,%s,%.9g,%.9g,%s\n", name, unit, has, wants, needed[i] ? "yes" : "no");
        if (needed[i])
            tern_grid_row(&g, "%s|%s|%s|%.3g", name, tern_human(a, has, unit), tern_human(b, wants, unit),
                          wants / has);
        else
            tern_grid_row(&g, "%s|%s|any|-", name, tern_human(a, has, unit));
    }
    json_object_set_new(into, "least", least);
    if (print)
        tern_grid_print(&g, stdout);
    else
        tern_grid_free(&g);
}

tern_status tern_serving_show_least(tern_serving_job *job, const char *name)
{
    tern_machine *m;
    tern_resource resources[TERN_RESOURCES];
    bool needed[TERN_RESOURCES] = {false};
    int count;
    tern_serving_result r;
    char first[24], token[24];
    TERN_TRY(read_resources(tern_cli_text(job->cli, "solve"), resources, &count));
    TERN_TRY(tern_machine_open(&m, name));
    tern_machine solved = *m;
    tern_status status = tern_serving_solve(&job->serving, &job->target, resources, count, &solved, needed);
    if (status == TERN_OK) {
        tern_serving_ask(&job->serving, &solved, &r);
        json_t *o = tern_serving_json(job, m, &r);
        json_array_append_new(job->machines, o);
        print_least(job, m, &solved, resources, needed, count, o);
        if (!job->cli->json && !job->csv)
            printf("%d of them, otherwise as %s (%016llx): first token %s, next token %s\n",
                   job->serving.way.devices, m->name, (unsigned long long)m->hash,
                   tern_human(first, r.first, "s"), tern_human(token, r.token, "s"));
    }
    tern_machine_close(m);
    return status;
}
