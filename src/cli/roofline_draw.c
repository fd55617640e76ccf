/* The picture of a roofline: both axes logarithmic, a roof for each machine with a slope for each of its memories, and points
 * whose labels keep clear of each other. */
#include "cli/report.h"
#include "cli/roofline.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 1000, HEIGHT = 640, LEFT = 84, RIGHT = 24, TOP = 56, BOTTOM = 64, MOST_BOXES = 4096 };

/* Colours that people with any sight tell apart (Okabe and Ito), black left for text. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9"};

typedef struct box {
    double x0, y0, x1, y1;
} box;

typedef struct canvas {
    tern_text *svg;
    double x0, x1, y0, y1; /* logarithms (10) of the axes' ends */
    box *taken;            /* [MOST_BOXES] what labels must keep clear of */
    int count;
} canvas;

static double px(const canvas *c, double intensity)
{
    return LEFT + (log10(intensity) - c->x0) / (c->x1 - c->x0) * (WIDTH - LEFT - RIGHT);
}

static double py(const canvas *c, double rate)
{
    return HEIGHT - BOTTOM - (log10(rate) - c->y0) / (c->y1 - c->y0) * (HEIGHT - TOP - BOTTOM);
}

static void take(canvas *c, box b)
{
    if (c->taken && c->count < MOST_BOXES) c->taken[c->count++] = b;
}

/* How much of a box is taken, in square pixels. */
static double overlap(const canvas *c, const box *b)
{
    double area = 0;
    for (int i = 0; i < c->count; i++) {
        const box *t = &c->taken[i];
        double w = fmin(b->x1, t->x1) - fmax(b->x0, t->x0), h = fmin(b->y1, t->y1) - fmax(b->y0, t->y0);
        if (w > 0 && h > 0) area += w * h;
    }
    return area;
}

static bool inside(const box *b)
{
    return b->x0 >= LEFT && b->x1 <= WIDTH - RIGHT && b->y0 >= TOP && b->y1 <= HEIGHT - BOTTOM;
}

/* Width of a text of 12 pixels, about. */
static double width_of(const char *text)
{
    return 6.6 * (double)strlen(text);
}

/* Text beside a point, where there is room, with a line to it where that is not near; what finds no room stays unwritten (its point
 * has a title). */
static bool put_label(canvas *c, double x, double y, const char *text, const char *colour)
{
    double w = width_of(text), h = 13;
    for (int ring = 0; ring < 9; ring++)
        for (int turn = 0; turn < 16; turn++) {
            double angle = 2 * 3.14159265358979 * turn / 16, far = 9 + 13.0 * ring;
            double cx = x + far * cos(angle), cy = y + far * sin(angle);
            double left = cos(angle) > 0.3 ? cx : cos(angle) < -0.3 ? cx - w : cx - w / 2;
            box b = {left - 2, cy - h / 2, left + w + 2, cy + h / 2};
            if (!inside(&b) || overlap(c, &b) > 0) continue;
            if (ring > 1)
                tern_text_format(c->svg,
                                 "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                                 "stroke-width=\"0.7\"/>\n",
                                 x, y, fmin(fmax(x, b.x0), b.x1), fmin(fmax(y, b.y0), b.y1), colour);
            tern_text_format(c->svg, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">", left, cy + 4, colour);
            tern_html_escape(c->svg, text);
            tern_text_put(c->svg, "</text>\n");
            take(c, b);
            return true;
        }
    return false;
}

/* ---- axes -------------------------------------------------------------------------------------------------------- */

static void put_axes(canvas *c)
{
    char text[24];
    for (int p = (int)ceil(c->x0 - 1e-9); p <= c->x1 + 1e-9; p++) {
        double x = px(c, pow(10, p));
        tern_text_format(
            c->svg,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"middle\">%g</text>\n",
            x, x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 20, pow(10, p));
    }
    for (int p = (int)ceil(c->y0 - 1e-9); p <= c->y1 + 1e-9; p++) {
        double y = py(c, pow(10, p));
        tern_text_format(
            c->svg,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">%s</text>\n",
            LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, tern_human(text, pow(10, p), "op/s"));
    }
    tern_text_format(
        c->svg,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations a byte moved (a multiply-accumulate is "
        "two)</text>\n",
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18);
}

/* Ends of the axes: all points, all ridges, whole powers of ten. */
static void find_axes(canvas *c, const tern_roofline *r)
{
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (int i = 0; i < r->machine_count; i++) {
        double peak = tern_roof_peak(r->machines[i], r->dtype, false, NULL);
        const tern_tier *most = tern_machine_main(r->machines[i]);
        if (peak <= 0) continue;
        y1 = fmax(y1, peak);
        y0 = fmin(y0, peak / 100);
        if (!most) continue;
        x1 = fmax(x1, peak / most->bandwidth);
        x0 = fmin(x0, peak / most->bandwidth / 100);
    }
    for (int i = 0; i < r->point_count; i++) {
        x0 = fmin(x0, r->points[i].intensity);
        x1 = fmax(x1, r->points[i].intensity);
        y0 = fmin(y0, r->points[i].rate);
        y1 = fmax(y1, r->points[i].rate);
    }
    if (!(x0 <= x1) || !(y0 <= y1)) x0 = 0.1, x1 = 100, y0 = 1e6, y1 = 1e12;
    c->x0 = floor(log10(x0));
    c->x1 = ceil(log10(x1) + 0.3);
    c->y0 = floor(log10(y0));
    c->y1 = ceil(log10(y1) + 0.2);
}

/* ---- roofs ------------------------------------------------------------------------------------------------------- */

/* A stroke inside the picture from one point of the axes to another, and the places that labels keep clear of. */
static void put_stroke(canvas *c, double xa, double ya, double xb, double yb, const char *style)
{
    double x0 = px(c, xa), y0 = py(c, ya), x1 = px(c, xb), y1 = py(c, yb);
    tern_text_format(c->svg,
                     "<line clip-path=\"url(#in)\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
                     x0, y0, x1, y1, style);
}

/* Keeps labels off a line. */
static void take_stroke(canvas *c, double x0, double y0, double x1, double y1)
{
    int steps = (int)(hypot(x1 - x0, y1 - y0) / 6) + 1;
    for (int i = 0; i <= steps; i++) {
        double x = x0 + (x1 - x0) * i / steps, y = y0 + (y1 - y0) * i / steps;
        box b = {x - 1.5, y - 1.5, x + 1.5, y + 1.5};
        if (inside(&b)) take(c, b);
    }
}

/* The name of a memory along its slope, as far down as there is room. */
static void put_slope_label(canvas *c, const tern_tier *t, double ridge, const char *colour)
{
    char rate[24], text[96];
    double x0 = px(c, ridge), y0 = py(c, ridge * t->bandwidth), dx = px(c, 10) - px(c, 1),
           dy = py(c, 10) - py(c, 1);
    double length = hypot(dx, dy), ux = dx / length, uy = dy / length;
    snprintf(text, sizeof text, "%.30s %s", t->name, tern_human(rate, t->bandwidth, "B/s"));
    double w = width_of(text);
    for (double back = 12; back < 900; back += 10) {
        double total = 0;
        bool fits = true;
        box boxes[24];
        int count = (int)(w / 8) + 1;
        if (count > 24) count = 24;
        for (int i = 0; i < count;
             i++) { /* along the text, which stands above the line and ends `back` below the ridge */
            double at = back + w * (count - i) / count, x = x0 - at * ux + 10 * uy,
                   y = y0 - at * uy - 10 * ux;
            boxes[i] = (box){x - 5.5, y - 5.5, x + 5.5, y + 5.5};
            total += overlap(c, &boxes[i]);
            fits &= inside(&boxes[i]);
        }
        if (!fits || total > 0) continue;
        double x = x0 - (back + w) * ux, y = y0 - (back + w) * uy;
        tern_text_format(c->svg,
                         "<text transform=\"translate(%.1f %.1f) rotate(%.2f) translate(0 -5)\" fill=\"%s\">",
                         x, y, atan2(uy, ux) * 180 / 3.14159265358979, colour);
        tern_html_escape(c->svg, text);
        tern_text_put(c->svg, "</text>\n");
        for (int i = 0; i < count; i++) take(c, boxes[i]);
        return;
    }
}

static void put_roof_lines(canvas *c, const tern_roofline *r, int i)
{
    const tern_machine *m = r->machines[i];
    const char *colour = colours[i % (int)TERN_COUNT(colours)];
    char style[96];
    double peak = tern_roof_peak(m, r->dtype, false, NULL),
           sustained = tern_roof_peak(m, r->dtype, true, NULL);
    double right = pow(10, c->x1), left = pow(10, c->x0), fastest = 0;
    if (peak <= 0) return;
    snprintf(style, sizeof style, "stroke=\"%s\" stroke-width=\"1.8\"", colour);
    for (int k = 0; k < m->tier_count; k++) {
        const tern_tier *t = &m->tiers[k];
        if (t->persistent) continue;
        double ridge = peak / t->bandwidth;
        fastest = fmax(fastest, t->bandwidth);
        put_stroke(c, left, left * t->bandwidth, ridge, peak, style);
        take_stroke(c, px(c, left), py(c, left * t->bandwidth), px(c, ridge), py(c, peak));
    }
    double from = fastest > 0 ? peak / fastest : left;
    put_stroke(c, from, peak, right, peak, style);
    take_stroke(c, px(c, from), py(c, peak), px(c, right), py(c, peak));
    if (sustained < 0.99 * peak) {
        snprintf(style, sizeof style, "stroke=\"%s\" stroke-width=\"1\" stroke-dasharray=\"5 4\"", colour);
        from = fastest > 0 ? sustained / fastest : left;
        put_stroke(c, from, sustained, right, sustained, style);
        take_stroke(c, px(c, from), py(c, sustained), px(c, right), py(c, sustained));
    }
}

/* Names stand above the flat part at its right end, or where there is room to its left. */
static void put_roof_labels(canvas *c, const tern_roofline *r, int i)
{
    const tern_machine *m = r->machines[i];
    const char *colour = colours[i % (int)TERN_COUNT(colours)];
    char rate[24], text[128];
    tern_dtype found = TERN_F32;
    double peak = tern_roof_peak(m, r->dtype, false, &found);
    if (peak <= 0) return;
    snprintf(text, sizeof text, "%.40s, %s %s", m->name, tern_dtype_of(found)->name,
             tern_human(rate, peak, "op/s"));
    double w = width_of(text);
    for (double right = WIDTH - RIGHT - 4; right - w > LEFT; right -= 20)
        for (int below = 0; below < 2; below++) {
            double y = py(c, peak) + (below ? 16 : -6);
            box b = {right - w, y - 11, right, y + 2};
            if (overlap(c, &b) > 0 || !inside(&b)) continue;
            tern_text_format(
                c->svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" font-weight=\"600\" fill=\"%s\">",
                right, y, colour);
            tern_html_escape(c->svg, text);
            tern_text_put(c->svg, "</text>\n");
            take(c, b);
            right = 0;
            break;
        }
    for (int k = 0; k < m->tier_count; k++)
        if (!m->tiers[k].persistent) put_slope_label(c, &m->tiers[k], peak / m->tiers[k].bandwidth, colour);
}

/* ---- points ------------------------------------------------------------------------------------------------------ */

static void put_points(canvas *c, const tern_roofline *r)
{
    char a[24], b[24];
    for (int i = 0; i < r->point_count; i++) {
        const tern_roof_point *p = &r->points[i];
        double x = px(c, p->intensity), y = py(c, p->rate),
               radius = 2.5 + 5 * sqrt(p->share) * (p->share < 1);
        if (p->share >= 1) radius = 4.5;
        tern_text_format(
            c->svg,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.75\" stroke=\"#fff\" "
            "stroke-width=\"0.7\"><title>",
            x, y, radius, colours[p->machine % (int)TERN_COUNT(colours)]);
        tern_html_escape(c->svg, p->name);
        tern_text_put(c->svg, " on ");
        tern_html_escape(c->svg, r->machines[p->machine]->name);
        tern_text_format(c->svg, ": %s, %s, %.1f%% of the time</title></circle>\n",
                         tern_human(a, p->intensity, "op/B"), tern_human(b, p->rate, "op/s"), 100 * p->share);
        take(c, (box){x - radius, y - radius, x + radius, y + radius});
    }
}

static bool same_place(const canvas *c, const tern_roof_point *a, const tern_roof_point *b)
{
    double x = px(c, a->intensity) - px(c, b->intensity), y = py(c, a->rate) - py(c, b->rate);
    return a->machine == b->machine && hypot(x, y) < 5;
}

/* Points by share, the largest first, get their names; of those in one place the largest, and how many others are there. */
static void put_point_labels(canvas *c, const tern_roofline *r)
{
    const double least = 0.012; /* of the time, for a name */
    for (int i = 0; i < r->point_count; i++) {
        const tern_roof_point *p = &r->points[i];
        int others = 0;
        bool first = p->share > least;
        for (int k = 0; first && k < r->point_count; k++) {
            const tern_roof_point *q = &r->points[k];
            if (k == i || q->share <= least || !same_place(c, p, q)) continue;
            others++;
            first = q->share < p->share || (q->share == p->share && k > i);
        }
        char text[128], more[24] = "";
        if (!first) continue;
        if (others) snprintf(more, sizeof more, " +%d", others);
        snprintf(text, sizeof text, "%.80s%s", p->name, more);
        put_label(c, px(c, p->intensity), py(c, p->rate), text,
                  colours[p->machine % (int)TERN_COUNT(colours)]);
    }
}

void tern_roofline_draw(tern_text *svg, const tern_roofline *r)
{
    canvas c = {.svg = svg, .taken = tern_take_array(MOST_BOXES, sizeof *c.taken)};
    find_axes(&c, r);
    tern_text_format(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n"
        "<style>.grid{stroke:#e4e4e4;stroke-width:1}</style>\n"
        "<clipPath id=\"in\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"30\" font-size=\"17\" "
        "font-weight=\"600\" fill=\"#111\">",
        WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, WIDTH, HEIGHT,
        LEFT);
    tern_html_escape(svg, r->title);
    tern_text_put(svg, "</text>\n");
    put_axes(&c);
    for (int i = 0; i < r->machine_count; i++) put_roof_lines(&c, r, i);
    put_points(&c, r);
    for (int i = 0; i < r->machine_count; i++) put_roof_labels(&c, r, i);
    put_point_labels(&c, r);
    tern_text_put(svg, "</svg>\n");
    tern_release(c.taken);
}
