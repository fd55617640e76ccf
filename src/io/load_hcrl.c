/* HCRL's Car-Hacking data: four files of messages of a car's CAN bus, each with one attack in it.
 *
 *     1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R      time, identifier, bytes, bytes of payload, R: normal, T: attack
 *
 * Attacks on the gear and on the revolutions are one class.  The first 65 % of each file's messages train, the rest tests; of each split at
 * most 500,000 messages are kept, evenly spaced, so that the 16 million of all files fit into memory. */
#include "io/can.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 500000 };

static const struct {
    const char *name;
    int label; /* of its attack */
} files[] = {
    {"DoS_dataset.csv", 1}, {"Fuzzy_dataset.csv", 2}, {"gear_dataset.csv", 3}, {"RPM_dataset.csv", 3}};

/* A field of hexadecimal digits, at most `most`; what follows it is left at *at.  -1: it is none. */
static int take_hex(const char **at, int most)
{
    int value = 0, count = 0;
    for (; tern_hex_digit(**at) >= 0; (*at)++, count++)
        value = count < 4 ? value * 16 + tern_hex_digit(**at) : most + 1;
    return count > 0 && value <= most ? value : -1;
}

static bool parse_line(const char *line, int label, tern_frame *m)
{
    char *end;
    *m = (tern_frame){0};
    m->time = strtod(line, &end);
    if (end == line || *end != ',') return false;
    const char *at = end + 1;
    m->identifier = take_hex(&at, (1 << TERN_CAN_IDENTIFIER_BITS) - 1);
    if (m->identifier < 0 || *at++ != ',') return false;
    int bytes = take_hex(&at, TERN_CAN_PAYLOAD);
    for (int i = 0; i < bytes; i++) {
        if (*at++ != ',') return false;
        int byte = take_hex(&at, 255);
        if (byte < 0) return false;
        m->data[i] = (uint8_t)byte;
    }
    if (bytes < 0 || *at++ != ',' || (*at != 'R' && *at != 'T')) return false;
    m->label = *at++ == 'T' ? label : 0;
    return *at == 0 || (*at == '\r' && at[1] == 0);
}

/* The parts of a file behind those of others. */
static tern_status divide(const tern_traffic *table, tern_traffic *train, tern_traffic *test)
{
    size_t cut = table->count * 65 / 100;
    for (size_t i = 0; i < table->count; i++)
        TERN_TRY(tern_traffic_add(i < cut ? train : test, &table->messages[i]));
    return TERN_OK;
}

static tern_status make_split(const tern_traffic *traffic, tern_split *split)
{
    return tern_traffic_split(traffic, traffic->count < MOST ? traffic->count : MOST, split);
}

tern_status tern_load_hcrl(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    (void)options;
    char file[4096];
    tern_traffic train = {0}, test = {0};
    tern_status status = TERN_OK;
    for (size_t i = 0; status == TERN_OK && i < TERN_COUNT(files); i++) {
        tern_traffic table = {0};
        snprintf(file, sizeof file, "%s/%s", path, files[i].name);
        status = tern_traffic_read(
            &table, file, parse_line, files[i].label, false,
            "\"seconds,identifier,count,bytes..,R\" (or T of an attack), hexadecimal, of 11 bits and up "
            "to 8 bytes");
        if (status == TERN_OK) status = divide(&table, &train, &test);
        tern_release(table.messages);
    }
    if (status == TERN_OK) status = make_split(&train, &dataset->train);
    if (status == TERN_OK) status = make_split(&test, &dataset->test);
    tern_release(train.messages);
    tern_release(test.messages);
    return status;
}
