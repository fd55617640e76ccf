/* Line charts as SVG and bars as boxes, drawn for a page of any width. */
#include "cli/report.h"

#include <math.h>
#include <string.h>

#define WIDTH  360
#define HEIGHT 216
#define LEFT   42
#define RIGHT  12
#define TOP    10
#define BOTTOM 40

void tern_html_escape(tern_text *page, const char *text)
{
    for (const char *c = text; *c; c++) {
        const char *entity = *c == '&'   ? "&amp;"
                             : *c == '<' ? "&lt;"
                             : *c == '>' ? "&gt;"
                             : *c == '"' ? "&quot;"
                                         : NULL;
        if (entity)
            tern_text_put(page, entity);
        else
            tern_text_add(page, c, 1);
    }
}

void tern_html_quantity(tern_text *page, double value, const char *unit)
{
    char text[24];
    tern_human(text, value, unit);
    char *space = strchr(text, ' ');
    if (space && space[1] == 'u') {
        *space = 0;
        tern_text_format(page, "%s &micro;%s", text, space + 2);
    } else {
        tern_text_put(page, text);
    }
}

/* Distance of ticks: 1, 2 or 5 times a power of ten, so that about `wanted` of them cover the span. */
static double tick_step(double span, int wanted)
{
    double raw = span / wanted, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

typedef struct tern_axes {
    double x0, x1, y0, y1, step;
} tern_axes;

static double px(const tern_axes *a, double x)
{
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double py(const tern_axes *a, double y)
{
    return HEIGHT - BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

static tern_axes axes_of(const tern_line_chart *c)
{
    tern_axes a = {c->x[0], c->x[c->count - 1], INFINITY, -INFINITY, 1};
    for (int s = 0; s < c->series_count; s++)
        for (int i = 0; i < c->count; i++) {
            double y = c->series[s].y[i];
            if (!isfinite(y)) continue;
            a.y0 = fmin(a.y0, y);
            a.y1 = fmax(a.y1, y);
        }
    if (a.x1 <= a.x0) { /* one epoch */
        a.x1 = a.x0 + 1;
        a.x0 -= 1;
    }
    if (!(a.y0 <= a.y1) || !isfinite(a.y1 - a.y0)) a.y0 = 0, a.y1 = 1;
    if (c->from_zero) a.y0 = fmin(0, a.y0);
    if (a.y1 - a.y0 < 1e-9) a.y1 = a.y0 + fmax(fabs(a.y0), 1e-3);
    a.step = tick_step(a.y1 - a.y0, 4);
    a.y0 = floor(a.y0 / a.step + 1e-9) * a.step;
    a.y1 = ceil(a.y1 / a.step - 1e-9) * a.step;
    return a;
}

static void draw_grid(tern_text *page, const tern_line_chart *c, const tern_axes *a)
{
    double scale = c->percent ? 100 : 1;
    int decimals = a->step * scale >= 1 ? 0 : (int)ceil(-log10(a->step * scale) - 1e-9);
    int ticks = (int)((a->y1 - a->y0) / a->step + 0.5);
    for (int i = 0; i <= ticks; i++) {
        double y = a->y0 + i * a->step;
        tern_text_format(page,
                         "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                         "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f%s</text>",
                         LEFT, WIDTH - RIGHT, py(a, y), py(a, y), LEFT - 8, py(a, y) + 4.5, decimals,
                         y * scale, c->percent ? "%" : "");
    }
    double step = fmax(1, tick_step(a->x1 - a->x0, 6));
    double first = ceil(c->x[0] / step) * step;
    ticks = (int)((c->x[c->count - 1] - first) / step + 1e-9);
    for (int i = 0; i <= ticks; i++)
        tern_text_format(page, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>",
                         px(a, first + i * step), HEIGHT - BOTTOM + 19, first + i * step);
    tern_text_format(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">epoch</text>", WIDTH - RIGHT,
                     HEIGHT - 4);
}

static void draw_series(tern_text *page, const tern_line_chart *c, const tern_series *s, const tern_axes *a)
{
    bool open = false, dots = c->count <= 40;
    tern_text_format(page, "<path class=\"%s\" d=\"", s->style);
    for (int i = 0; i < c->count; i++) {
        if (isfinite(s->y[i]))
            tern_text_format(page, "%c%.1f %.1f", open ? 'L' : 'M', px(a, c->x[i]), py(a, s->y[i]));
        open = isfinite(s->y[i]);
    }
    tern_text_put(page, "\"/>");
    for (int i = 0; i < c->count; i++) {
        if (!isfinite(s->y[i]) || (!dots && i + 1 < c->count)) continue;
        tern_text_format(page, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>epoch %g, ",
                         s->style, px(a, c->x[i]), py(a, s->y[i]), c->count > 20 ? "2.5" : "3.5", c->x[i]);
        tern_html_escape(page, s->name);
        tern_text_format(page, c->percent ? ": %.2f%%" : ": %.4g", s->y[i] * (c->percent ? 100 : 1));
        tern_text_put(page, "</title></circle>");
    }
}

void tern_html_lines(tern_text *page, const tern_line_chart *c)
{
    tern_axes a = axes_of(c);
    tern_text_put(page, "<div class=\"chart\"><h3>");
    tern_html_escape(page, c->title);
    tern_text_put(page, "</h3><div class=\"key\">");
    for (int s = 0; s < c->series_count; s++) {
        const tern_series *one = &c->series[s];
        double last = NAN;
        for (int i = 0; i < c->count; i++)
            if (isfinite(one->y[i])) last = one->y[i];
        tern_text_format(page, "<span class=\"%s\"><i></i>", one->style);
        tern_html_escape(page, one->name);
        if (isfinite(last))
            tern_text_format(page, c->percent ? " %.2f%%" : " %.3g", last * (c->percent ? 100 : 1));
        tern_text_put(page, "</span>");
    }
    tern_text_format(page, "</div><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    tern_html_escape(page, c->title);
    tern_text_put(page, " by epoch\">");
    draw_grid(page, c, &a);
    for (int s = 0; s < c->series_count; s++) draw_series(page, c, &c->series[s], &a);
    tern_text_put(page, "</svg></div>");
}

void tern_html_bar(tern_text *page, const char *name, double share, const char *value, const char *style)
{
    tern_text_format(page, "<div class=\"bar%s\"><div class=\"name\">", share < 0 ? " none" : "");
    tern_html_escape(page, name);
    tern_text_put(page, "</div><div class=\"track\">");
    if (share >= 0)
        tern_text_format(page, "<div class=\"fill %s\" style=\"width:%.2f%%\"></div>", style,
                         100 * fmin(share, 1));
    tern_text_format(page, "</div><div class=\"value\">%s</div></div>", value);
}

void tern_html_section(tern_text *page, const char *title, const char *about)
{
    tern_text_format(page, "<section><h2>%s</h2>", title);
    if (about) tern_text_format(page, "<p class=\"about\">%s</p>", about);
}

void tern_html_missing(tern_text *page, const char *what, const char *command, const char *folder)
{
    tern_text_format(page, "<section class=\"missing\"><h2>%s</h2><p>Not measured yet: <code>%s ", what,
                     command);
    tern_html_escape(page, folder);
    tern_text_put(page, "</code> fills this section.</p></section>\n");
}
