/* tern report roofline: nets and machines as points below roofs. */
#include "cli/roofline.h"

#include "machine/model.h"
#include "plan/plan.h"
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

double tern_roof_peak(const tern_machine *m, tern_dtype wanted, bool sustained, tern_dtype *found)
{
    tern_choice c = tern_machine_choose(m, TERN_MAC, wanted);
    if (!c.unit)
        c = tern_machine_choose(m, TERN_ADD, wanted); /* a machine for spikes: a sum is one operation */
    if (!c.unit) return 0;
    if (found) *found = c.dtype;
    double macs = c.unit->rate[TERN_MAC][c.dtype],
           rate = macs > 0 ? 2 * macs : c.unit->rate[TERN_ADD][c.dtype];
    return rate * (sustained ? c.unit->efficiency : 1);
}

/* Names joined by commas, opened. */
static tern_status open_machines(tern_roofline *r, const char *names)
{
    int most = 1;
    for (const char *c = names; *c; c++) most += *c == ',';
    r->machines = tern_take_array((size_t)most, sizeof(tern_machine *));
    if (!r->machines) return tern_no_memory((size_t)most * sizeof(tern_machine *), "machines");
    for (const char *at = names; *at;) {
        char name[4096];
        int length = (int)strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", length, at);
        TERN_TRY(tern_machine_open(&r->machines[r->machine_count], name));
        r->machine_count++;
        at += length + (at[length] == ',');
    }
    return r->machine_count ? TERN_OK : tern_fail(TERN_USAGE, "--machine: expected names of machines");
}

static double operations_of(const tern_work *w)
{
    return 2 * w->macs + w->accumulates + w->elementwise + w->specials;
}

static double bytes_of(const tern_task_work *t)
{
    return t->weight_bytes + t->state_bytes + t->read_bytes + t->written_bytes;
}

static void add_point(tern_roofline *r, const char *name, int machine, const tern_task_work *t,
                      double seconds, double share)
{
    double operations = operations_of(&t->work), bytes = bytes_of(t);
    if (operations > 0 && bytes > 0 && seconds > 0)
        r->points[r->point_count++] =
            (tern_roof_point){name, machine, operations / bytes, operations / seconds, share};
}

/* Points of one program on all machines: its operators, or itself. */
static tern_status add_program(tern_cli *cli, tern_roofline *r, tern_arena *names, const char *net,
                               const tern_program *program, bool apart)
{
    size_t steps = (size_t)program->step_count + 1,
           room = (size_t)r->point_count + steps * (size_t)r->machine_count;
    tern_task_work all = {.label = net};
    tern_task_cost *costs = tern_take_array(steps, sizeof *costs);
    tern_roof_point *points = tern_take_array(room, sizeof *points);
    tern_bill bill = {.query = {.count = 0}};
    tern_status status = costs && points ? tern_bill_open(&bill, program, tern_cli_number(cli, "density"))
                                         : tern_no_memory(room * sizeof *points, "points");
    if (status == TERN_OK) {
        if (r->point_count) memcpy(points, r->points, (size_t)r->point_count * sizeof *points);
        tern_release(r->points);
        r->points = points;
        points = NULL;
    }
    for (int i = 0; i < bill.query.count; i++) {
        tern_work_add(&all.work, &bill.tasks[i].work);
        all.read_bytes += bytes_of(&bill.tasks[i]);
    }
    for (int k = 0; status == TERN_OK && k < r->machine_count; k++) {
        tern_cost cost;
        tern_machine_cost(r->machines[k], &bill.query, &cost, costs);
        if (!cost.fits) {
            fprintf(stderr, "%s on %s: %s\n", net, r->machines[k]->name, cost.reason);
            continue;
        }
        if (!apart) add_point(r, tern_arena_string(names, net), k, &all, cost.seconds, 1);
        for (int i = 0; apart && i < bill.query.count; i++) {
            const tern_task_work *t = &bill.tasks[i];
            const char *name = tern_arena_format(names, "%s", t->label[0] ? t->label : t->operator_name);
            if (!name) status = tern_no_memory(64, "points");
            if (name) add_point(r, name, k, t, costs[i].seconds, costs[i].seconds / cost.seconds);
        }
    }
    tern_release(points);
    tern_bill_close(&bill);
    tern_release(costs);
    return status;
}

static tern_status add_net(tern_cli *cli, tern_roofline *r, tern_arena *names, const char *name, bool apart)
{
    tern_subject s;
    tern_graph *graph = NULL;
    tern_program *program = NULL;
    TERN_TRY(tern_subject_open(&s, cli, name));
    tern_status status =
        tern_model_graph(&graph, s.net, s.parameters, &s.sample, tern_cli_whole(cli, "batch"), cli->seed);
    if (status == TERN_OK) status = tern_plan(&program, graph, &(tern_plan_options){.reference = true});
    if (status == TERN_OK) status = add_program(cli, r, names, name, program, apart);
    tern_program_close(program);
    tern_graph_close(graph);
    tern_subject_close(&s);
    return status;
}

static json_t *points_json(const tern_roofline *r)
{
    json_t *all = json_array();
    for (int i = 0; i < r->point_count; i++) {
        const tern_roof_point *p = &r->points[i];
        json_array_append_new(all, json_pack("{s:s,s:s,s:f,s:f,s:f}", "name", p->name, "machine",
                                             r->machines[p->machine]->name, "operations_a_byte", p->intensity,
                                             "operations_a_second", p->rate, "share", p->share));
    }
    return all;
}

/* Draws, writes and says so. */
static tern_status finish(tern_cli *cli, const tern_roofline *r)
{
    tern_text svg = {0};
    const char *out = tern_cli_text(cli, "out") ? tern_cli_text(cli, "out") : "roofline.svg";
    if (!r->point_count && cli->count > 1)
        return tern_fail(TERN_NO_FIT, "no net of these fits any of the machines; see tern cost NET");
    tern_roofline_draw(&svg, r);
    tern_status status = tern_text_status(&svg);
    if (status == TERN_OK) status = tern_write_file(out, svg.data, svg.size);
    tern_text_free(&svg);
    if (status == TERN_OK && cli->json)
        return tern_print_json(json_pack("{s:s,s:o}", "picture", out, "points", points_json(r)));
    if (status == TERN_OK) printf("%s: %d points below %d roofs\n", out, r->point_count, r->machine_count);
    return status;
}

tern_status tern_report_roofline(tern_cli *cli)
{
    tern_roofline r = {.dtype = TERN_F32};
    tern_arena names = {0};
    const char *machines = tern_cli_text(cli, "machine");
    bool apart = tern_cli_has(cli, "operators") || cli->count == 2;
    tern_status status = open_machines(&r, machines);
    if (status == TERN_OK && tern_cli_text(cli, "format"))
        status = tern_dtype_find(tern_cli_text(cli, "format"), &r.dtype);
    for (int i = 1; status == TERN_OK && i < cli->count; i++)
        status = add_net(cli, &r, &names, cli->arguments[i], apart);
    r.title = cli->count == 2
                  ? tern_arena_format(&names, "%s, operator by operator (modelled)", cli->arguments[1])
              : cli->count > 2 ? "Nets below the roofs of machines (modelled)"
                               : "Roofs of machines";
    if (status == TERN_OK && !r.title) status = tern_no_memory(64, "a picture");
    if (status == TERN_OK) status = finish(cli, &r);
    for (int i = 0; i < r.machine_count; i++) tern_machine_close(r.machines[i]);
    tern_release(r.machines);
    tern_release(r.points);
    tern_arena_free(&names);
    return status;
}
