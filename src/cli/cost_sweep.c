/* tern cost MODEL --sweep X=A..B: the same question with other figures of the machine or other numbers of requests, tokens and
 * devices. */
#include "cli/cost_serving.h"
#include "cli/sweep.h"

#include <string.h>

static const tern_sweep_number numbers[] = {{"batch", offsetof(tern_serving_plan, batch), false},
                                            {"in", offsetof(tern_serving_plan, in), false},
                                            {"out", offsetof(tern_serving_plan, out), false},
                                            {"beams", offsetof(tern_serving_plan, beams), false},
                                            {"tp", offsetof(tern_serving_plan, tensor), false},
                                            {"pp", offsetof(tern_serving_plan, pipeline), false},
                                            {"ep", offsetof(tern_serving_plan, experts), false},
                                            {"chunk", offsetof(tern_serving_plan, chunk), false}};

typedef struct sweeping {
    tern_serving_job *job;
    tern_machine *machine;
    tern_sweeps sweeps;
    tern_serving_plan plan; /* of job->serving */
    tern_grid grid;
} sweeping;

/* Sets the values of a point; the runs are made anew where the plan changes. */
static tern_status set_point(sweeping *w)
{
    tern_serving_plan plan = w->job->plan;
    tern_sweeps_set(&w->sweeps, &plan);
    if (tern_sweeps_same(&w->sweeps, &plan, &w->plan)) return TERN_OK;
    TERN_TRY(tern_serving_change(&w->job->serving, &plan));
    w->plan = plan;
    return TERN_OK;
}

static void show_point(sweeping *w, const tern_serving_result *r)
{
    char line[640], values[256];
    const tern_serving_job *job = w->job;
    if (job->cli->json) {
        json_t *o = tern_serving_json(job, w->machine, r), *point = json_object();
        for (int i = 0; i < w->sweeps.count; i++) {
            const tern_sweep *s = &w->sweeps.sweeps[i];
            json_object_set_new(point, s->name, json_real(s->values[w->sweeps.at[i]]));
        }
        json_object_set_new(o, "at", point);
        json_array_append_new(job->machines, o);
        return;
    }
    tern_sweeps_row(&w->sweeps, job->csv, values);
    if (job->csv) {
        fputs(values, stdout);
        tern_serving_csv(job, r, stdout);
        return;
    }
    tern_serving_row(job, r, line);
    tern_grid_row(&w->grid, "%s%s", values, line);
}

/* A point that can't be (more stages than layers) is one with a reason. */
static tern_status ask_point(sweeping *w)
{
    tern_serving_result r = {.first_bound = "", .token_bound = ""};
    tern_status status = set_point(w);
    if (status == TERN_OK) {
        tern_serving_ask(&w->job->serving, w->machine, &r);
    } else {
        if (status != TERN_USAGE) return status;
        snprintf(r.reason, sizeof r.reason, "%s", tern_message());
        tern_clear();
    }
    show_point(w, &r);
    return TERN_OK;
}

static tern_status ask_points(sweeping *w)
{
    char head[512], all[24], each[24];
    const tern_serving_job *job = w->job;
    double start = tern_now();
    int points = 0;
    tern_sweeps_head(&w->sweeps, job->csv, head);
    if (job->csv && !job->cli->json) printf("%s" TERN_SERVING_CSV "\n", head);
    tern_grid_row(&w->grid, "%s" TERN_SERVING_HEAD, head);
    do {
        TERN_TRY(ask_point(w));
        points++;
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
    } while (tern_sweeps_next(&w->sweeps));
    double seconds = tern_now() - start;
    if (!job->cli->quiet)
        fprintf(stderr, "%d points in %s, %s each\n", points, tern_human(all, seconds, "s"),
                tern_human(each, seconds / points, "s"));
    if (!job->csv && !job->cli->json) {
        TERN_TRY(tern_grid_print(&w->grid, stdout));
        printf("machine %s (%016llx)\n", w->machine->name, (unsigned long long)w->machine->hash);
    }
    return TERN_OK;
}

tern_status tern_serving_sweep(tern_serving_job *job, const char *machine)
{
    sweeping w = {.job = job, .plan = job->plan};
    TERN_TRY(tern_machine_open(&w.machine, machine));
    tern_status status = tern_sweeps_read(&w.sweeps, job->cli, w.machine, numbers, TERN_COUNT(numbers));
    if (status == TERN_OK) status = ask_points(&w);
    tern_sweeps_free(&w.sweeps);
    tern_grid_free(&w.grid);
    tern_machine_close(w.machine);
    return status;
}
