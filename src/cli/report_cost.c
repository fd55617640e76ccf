/* What the net costs: energy, time and memory over all machines, and layer by layer. */
#include "cli/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct tern_ranked {
    const json_t *machine;
    double joules; /* infinite where the net does not fit */
    size_t index;
} tern_ranked;

static int by_energy(const void *a, const void *b)
{
    const tern_ranked *x = a, *y = b;
    if (x->joules != y->joules) return x->joules < y->joules ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* The machines, thriftiest first, those that it does not fit last.  The caller releases the result; NULL: no memory. */
static tern_ranked *rank_machines(const json_t *machines)
{
    size_t count = json_array_size(machines);
    tern_ranked *ranked = tern_take_array(count + 1, sizeof *ranked);
    for (size_t i = 0; ranked && i < count; i++) {
        const json_t *m = json_array_get(machines, i);
        double joules = tern_number_in(m, "energy_joules");
        bool fits = json_is_true(json_object_get(m, "fits")) && joules > 0;
        ranked[i] = (tern_ranked){m, fits ? joules : INFINITY, i};
    }
    if (ranked) qsort(ranked, count, sizeof *ranked, by_energy);
    return ranked;
}

/* Powers of ten below the bars, from 10^low to 10^high. */
static void energy_scale(tern_text *page, int low, int high)
{
    tern_text_put(page, "</div><div class=\"bars scale\"><div></div><div>");
    for (int p = low; p <= high; p += high - low > 5 ? 2 : 1) {
        static const char *const units[] = {"pJ", "nJ", "&micro;J", "mJ", "J", "kJ"};
        int unit = (int)fmin(fmax(floor(p / 3.0) + 4, 0), 5);
        tern_text_format(page, "<span style=\"left:%.1f%%\">%g %s</span>", 100.0 * (p - low) / (high - low),
                         pow(10, p - 3 * (unit - 4)), units[unit]);
    }
    tern_text_put(page, "</div><div></div></div>");
}

static void energy_bars(tern_text *page, const tern_ranked *ranked, size_t count)
{
    size_t fitting = 0;
    while (fitting < count && isfinite(ranked[fitting].joules)) fitting++;
    if (fitting == 0) return;
    double low = floor(log10(ranked[0].joules) - 0.3), high = ceil(log10(ranked[fitting - 1].joules));
    tern_text_put(page, "<h3>Energy of one image, logarithmic</h3><div class=\"bars\">");
    for (size_t i = 0; i < count; i++) {
        bool fits = i < fitting;
        tern_text value = {0};
        if (fits) tern_html_quantity(&value, ranked[i].joules, "J");
        tern_html_bar(page, tern_text_in(ranked[i].machine, "machine"),
                      fits ? (log10(ranked[i].joules) - low) / (high - low) : -1,
                      fits && value.data ? value.data : "no fit", "");
        tern_text_free(&value);
    }
    energy_scale(page, (int)low, (int)high);
}

static void quantity_cell(tern_text *page, const char *head, double value, const char *unit)
{
    tern_text_format(page, "<td class=\"n\" data-of=\"%s\">", head);
    if (value > 0)
        tern_html_quantity(page, value, unit);
    else
        tern_text_put(page, "&ndash;");
    tern_text_put(page, "</td>");
}

static void machine_row(tern_text *page, const json_t *m)
{
    bool fits = json_is_true(json_object_get(m, "fits"));
    tern_text_put(page, "<tr><td><b>");
    tern_html_escape(page, tern_text_in(m, "machine"));
    tern_text_format(page, "</b></td><td><span class=\"%s\">%s</span></td>", fits ? "yes" : "no",
                     fits ? "fits" : "does not fit");
    quantity_cell(page, "energy", fits ? tern_number_in(m, "energy_joules") : 0, "J");
    quantity_cell(page, "time", fits ? tern_number_in(m, "seconds") : 0, "s");
    quantity_cell(page, "memory", tern_number_in(m, "peak_bytes"), "B");
    tern_text_put(page, "<td data-of=\"bound by\">");
    tern_html_escape(page, fits ? tern_text_in(m, "bound") : "");
    tern_text_put(page, "</td><td class=\"whole soft\">");
    const char *reason = tern_text_in(m, "reason"), *about = tern_text_in(m, "about");
    tern_html_escape(page, about);
    if (*about && *reason) tern_text_put(page, "<br>");
    if (*reason) tern_html_escape(page, reason);
    tern_text_put(page, "</td></tr>\n");
}

tern_status tern_report_machines(tern_text *page, const json_t *cost)
{
    const json_t *machines = json_object_get(cost, "machines");
    tern_ranked *ranked = rank_machines(machines);
    if (!ranked) return tern_no_memory(json_array_size(machines) * sizeof *ranked, "a table of machines");
    bool spikes = tern_number_in(json_object_get(cost, "work"), "accumulates") > 0;
    bool measured = spikes && strcmp(tern_text_in(cost, "spike_rates"), "measured") == 0;
    tern_html_section(page, "What one image costs, machine by machine",
                      measured
                          ? "Modelled from the machine files, for one image, with the spike rates that were "
                            "measured on the test set."
                          : "Modelled from the machine files, for one image.");
    energy_bars(page, ranked, json_array_size(machines));
    tern_text_put(
        page,
        "<div class=\"wide\" style=\"margin-top:18px\"><table class=\"cards\"><thead><tr><th>machine</th>"
        "<th></th><th class=\"n\">energy</th><th class=\"n\">time</th><th class=\"n\">memory</th>"
        "<th>bound by</th><th>about</th></tr></thead><tbody>");
    for (size_t i = 0; i < json_array_size(machines); i++) machine_row(page, ranked[i].machine);
    tern_text_put(page, "</tbody></table></div></section>\n");
    tern_release(ranked);
    return TERN_OK;
}

static void plain_cell(tern_text *page, double value, const char *unit)
{
    tern_text_put(page, "<td class=\"n\">");
    if (value > 0) tern_html_quantity(page, value, unit);
    tern_text_put(page, "</td>");
}

static void layer_row(tern_text *page, const json_t *layer, double all_joules)
{
    const json_t *work = json_object_get(layer, "work");
    double bytes = tern_number_in(layer, "weight_bytes") + tern_number_in(layer, "read_bytes") +
                   tern_number_in(layer, "written_bytes");
    double joules = tern_number_in(layer, "joules");
    tern_text_put(page, "<tr><td>");
    tern_html_escape(page, tern_text_in(layer, "layer"));
    tern_text_put(page, "</td><td class=\"soft\">");
    tern_html_escape(page, tern_text_in(layer, "operator"));
    tern_text_put(page, "</td>");
    plain_cell(page, tern_number_in(work, "macs"), "");
    plain_cell(page, tern_number_in(work, "accumulates"), "");
    plain_cell(page, bytes, "B");
    plain_cell(page, tern_number_in(layer, "seconds"), "s");
    plain_cell(page, joules, "J");
    tern_text_put(page, "<td class=\"n\">");
    if (all_joules > 0) tern_text_format(page, "%.1f%%", 100 * joules / all_joules);
    tern_text_put(page, "</td></tr>\n");
}

void tern_report_layers(tern_text *page, const json_t *cost)
{
    const json_t *layers = json_object_get(cost, "layers");
    const char *machine = tern_text_in(cost, "layers_on");
    double all = 0;
    if (json_array_size(layers) == 0) return;
    for (size_t i = 0; i < json_array_size(layers); i++)
        all += tern_number_in(json_array_get(layers, i), "joules");
    tern_html_section(page, "Where the cost is, layer by layer", NULL);
    if (*machine) {
        tern_text_put(page, "<p class=\"about\">Time and energy of one image on ");
        tern_html_escape(page, machine);
        tern_text_put(page, ".</p>");
    }
    tern_text_put(
        page,
        "<div class=\"wide\"><table><thead><tr><th>layer</th><th>operator</th><th class=\"n\">multiply-"
        "accumulates</th><th class=\"n\">accumulates</th><th class=\"n\">bytes moved</th>"
        "<th class=\"n\">time</th><th class=\"n\">energy</th><th class=\"n\">share</th></tr></thead><tbody>");
    for (size_t i = 0; i < json_array_size(layers); i++) layer_row(page, json_array_get(layers, i), all);
    tern_text_put(page, "</tbody></table></div></section>\n");
}
