/* C that programs on boards print with: texts and whole numbers, without printf. */
#include "emit/words.h"

/* clang-format off */
const char tern_emit_words[] =
    "static void put(const char *text)\n"
    "{\n"
    "    size_t used = strlen(line), more = strlen(text);\n"
    "    if (used + more < sizeof line) memcpy(line + used, text, more + 1);\n"
    "}\n"
    "\n"
    "static void put_number(uint64_t number)\n"
    "{\n"
    "    char digits[24];\n"
    "    int at = sizeof digits - 1;\n"
    "    digits[at] = 0;\n"
    "    do {\n"
    "        digits[--at] = (char)('0' + number % 10);\n"
    "        number /= 10;\n"
    "    } while (number);\n"
    "    put(digits + at);\n"
    "}\n"
    "\n";

const char tern_emit_field[] =
    "static void put_field(const char *name, uint64_t number)\n"
    "{\n"
    "    put(\"\\\"\");\n"
    "    put(name);\n"
    "    put(\"\\\": \");\n"
    "    put_number(number);\n"
    "    put(\", \");\n"
    "}\n"
    "\n";
/* clang-format on */
