/* Windows of layers as the command line asks for them, and what they took. */
#include "cli/window.h"

#include <stdlib.h>
#include <string.h>

tern_status tern_cli_window(const tern_cli *cli, int *window, int *moved, bool *slack)
{
    const char *text = tern_cli_text(cli, "superpipeline");
    char *end = NULL;
    *window = *moved = 0;
    *slack = tern_cli_has(cli, "slack");
    if (*slack && !text) return tern_fail(TERN_USAGE, "--slack has no effect without --superpipeline");
    if (!text || strcmp(text, "auto") == 0) return TERN_OK;
    long layers = strtol(text, &end, 10), group = *end == ',' ? strtol(end + 1, &end, 10) : 1;
    if (*end || layers < 1 || layers > 100000 || group < 1 || group > layers)
        return tern_fail(
            TERN_USAGE, "--superpipeline is \"%s\", expected K,M with 1 <= M <= K, as in 8,2, or auto", text);
    *window = (int)layers;
    *moved = (int)group;
    return TERN_OK;
}

void tern_pager_summary(const tern_pager_report *r, FILE *out)
{
    char a[24], b[24], c[24], d[24];
    fprintf(out,
            "weights in windows of %d of %d layers, %d moved at once: %s of %s in memory at most, %s read",
            r->window, r->layers, r->moved, tern_human(a, r->most, "B"), tern_human(b, r->all, "B"),
            tern_human(c, r->bytes, "B"));
    if (r->back > 0) fprintf(out, " and %s taken back", tern_human(d, r->back, "B"));
    fprintf(out, ", %.2f s waited\n", r->waited);
}
