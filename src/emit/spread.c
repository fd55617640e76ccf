/* Steps that several cores share: bodies of operators say FIRST(n) and LAST(n) where a core begins and ends in n equal parts, and
 * put a form feed before, between and behind parts that cores must have finished together. */
#include "emit/emit.h"

#include <string.h>

/* The place behind the parenthesis that closes the one at `open`. */
static const char *behind(const char *open)
{
    int depth = 0;
    for (; *open; open++) {
        depth += (*open == '(') - (*open == ')');
        if (depth == 0) return open + 1;
    }
    return open;
}

/* One core does all: FIRST(n) is 0, LAST(n) is n. */
static void put_range(const char *inside, int length, bool last, int cores, tern_text *to)
{
    if (cores > 1)
        tern_text_format(to, "share_of(%.*s, core%s)", length, inside, last ? " + 1" : "");
    else if (last)
        tern_text_format(to, "%.*s", length, inside);
    else
        tern_text_put(to, "0");
}

bool tern_emit_is_shared(const char *body)
{
    return strstr(body, "FIRST(") != NULL;
}

bool tern_emit_meets(const char *body)
{
    return strchr(body, '\f') != NULL;
}

void tern_emit_spread(const char *body, int cores, tern_text *to)
{
    static const char *const marks[] = {"        if (phase == 0) {\n",
                                        "        }\n        if (phase == 1) {\n", "        }\n"};
    int mark = 0;
    while (*body) {
        size_t plain = strcspn(body, "FL\f");
        tern_text_add(to, body, plain);
        body += plain;
        bool first = strncmp(body, "FIRST(", 6) == 0, last = strncmp(body, "LAST(", 5) == 0;
        if (*body == '\f') {
            if (cores > 1) tern_text_put(to, marks[mark++]);
            body++;
        } else if (first || last) {
            const char *open = body + (first ? 5 : 4), *end = behind(open);
            put_range(open + 1, (int)(end - open - 2), last, cores, to);
            body = end;
        } else if (*body) {
            tern_text_add(to, body++, 1);
        }
    }
}

/* ---- what several cores need ------------------------------------------------------------------------------------------------ */

const char tern_emit_cores_text[] =
    "/* Part `core` of n: its first element; of the core behind the last one, n. */\n"
    "static inline int share_of(int n, int core)\n"
    "{\n"
    "    const int each = (n + CORES - 1) / CORES, at = core * each;\n"
    "    return at < n ? at : n;\n"
    "}\n"
    "\n"
    "static uint32_t arrived, meetings, runs;\n"
    "\n"
    "/* Returns when all cores have come here. */\n"
    "static void meet(int core)\n"
    "{\n"
    "    uint32_t now = __atomic_load_n(&meetings, __ATOMIC_ACQUIRE);\n"
    "    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) < CORES) {\n"
    "        while (__atomic_load_n(&meetings, __ATOMIC_ACQUIRE) == now) @name@_wait(core);\n"
    "        return;\n"
    "    }\n"
    "    arrived = 0;\n"
    "    __atomic_store_n(&meetings, now + 1, __ATOMIC_RELEASE);\n"
    "    for (int other = 0; other < CORES; other++)\n"
    "        if (other != core) @name@_wake(other);\n"
    "}\n"
    "\n";

/* Of main.c: the other cores, and what each has done. */
const char tern_emit_cores_board[] = "void board_follow(int core)\n"
                                     "{\n"
                                     "    @name@_serve(core);\n"
                                     "}\n"
                                     "\n"
                                     "void @name@_wait(int core)\n"
                                     "{\n"
                                     "    board_wait(core);\n"
                                     "}\n"
                                     "\n"
                                     "void @name@_wake(int core)\n"
                                     "{\n"
                                     "    board_wake(core);\n"
                                     "}\n"
                                     "\n"
                                     "static uint64_t spent[@NAME@_CORES];\n"
                                     "\n"
                                     "/* Instructions of the last call: of the core with the most, and of "
                                     "all; and the slowest of each part, added. */\n"
                                     "static uint64_t busiest(uint64_t *all, uint64_t *slowest, int *parts)\n"
                                     "{\n"
                                     "    uint64_t most = 0;\n"
                                     "    *slowest = @name@_in_turn(board_instructions, spent, parts);\n"
                                     "    for (int core = 0; core < @NAME@_CORES; core++) {\n"
                                     "        *all += spent[core];\n"
                                     "        most = spent[core] > most ? spent[core] : most;\n"
                                     "    }\n"
                                     "    return most;\n"
                                     "}\n"
                                     "\n";

const char tern_emit_cores_told[] =
    "    int parts = 0;\n"
    "    uint64_t all = 0, slowest = 0, most = busiest(&all, &slowest, &parts);\n"
    "    put_field(\"busiest_core\", most);\n"
    "    put_field(\"all_cores\", all);\n"
    "    put_field(\"slowest_parts\", slowest);\n"
    "    put_field(\"parts\", (uint64_t)parts);\n";
