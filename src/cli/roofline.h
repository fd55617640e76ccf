/* Rooflines: what machines can at most, by operations a byte, and where nets or their operators stand below. */
#ifndef TERN_CLI_ROOFLINE_H
#define TERN_CLI_ROOFLINE_H

#include "cli/cli.h"
#include "machine/machine.h"

/* A point of the picture.  A multiply-accumulate is two operations. */
typedef struct tern_roof_point {
    const char *name;
    int machine;      /* index */
    double intensity; /* operations a byte that is moved */
    double rate;      /* operations a second, as modelled */
    double share;     /* of the net's time on that machine; 1 for a whole net */
} tern_roof_point;

typedef struct tern_roofline {
    tern_machine **machines;
    int machine_count;
    tern_dtype dtype; /* whose rates are the roofs; a machine that lacks it has those of what stands in */
    tern_roof_point *points;
    int point_count;
    const char *title;
} tern_roofline;

/* The highest rate of a machine in operations a second, of the unit that the cost model would take, and the format that it has;
 * sustained: times its efficiency. */
double tern_roof_peak(const tern_machine *machine, tern_dtype wanted, bool sustained, tern_dtype *found);

/* Draws it as an SVG file of its own. */
void tern_roofline_draw(tern_text *svg, const tern_roofline *roofline);

/* `tern report roofline NET...`. */
tern_status tern_report_roofline(tern_cli *cli);

#endif
