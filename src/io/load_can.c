/* Messages of a CAN bus with attacks put among them (arXiv 2401.11030; the attacks are those of HCRL's Car-Hacking data).
 *
 * A candump log is normal traffic.  Its first 65 % of time train and the rest tests; each part is shown four times: as it is,
 * and with one attack in it from beginning to end:
 *     dos    identifier 000 with zeros every 0.3 ms
 *     fuzzy  any identifier and data every 0.5 ms
 *     spoof  one of two identifiers of the log, with data that do not change, every 1 ms
 * Times have up to a tenth of jitter; what is random differs between training and test. */
#include "io/can.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { SPOOFED = 2 };

/* "(1398128223.803317) can0 166#D0320009" */
static bool parse_line(const char *line, int label, tern_frame *m)
{
    char *end;
    (void)label;
    *m = (tern_frame){0};
    if (*line != '(') return false;
    m->time = strtod(line + 1, &end);
    if (end == line + 1 || *end != ')') return false;
    const char *hash = strchr(end, '#'), *id = hash;
    if (!hash) return false;
    while (tern_hex_digit(id[-1]) >= 0) id--;
    if (id == hash || hash - id > 3) return false;
    for (; id < hash; id++) m->identifier = m->identifier * 16 + tern_hex_digit(*id);
    const char *at = hash + 1;
    for (int i = 0; tern_hex_digit(at[0]) >= 0; i++, at += 2) {
        if (i == TERN_CAN_PAYLOAD || tern_hex_digit(at[1]) < 0) return false;
        m->data[i] = (uint8_t)(tern_hex_digit(at[0]) * 16 + tern_hex_digit(at[1]));
    }
    return m->identifier < 1 << TERN_CAN_IDENTIFIER_BITS && (!*at || isspace((unsigned char)*at));
}

static const double periods[TERN_CAN_CLASSES] = {0, 0.0003, 0.0005, 0.001};

/* The attack's next message. */
static tern_frame attack(int label, double time, const tern_frame *spoofed, tern_rng rng, uint64_t *drawn)
{
    tern_frame m = {.time = time, .label = label};
    if (label == 2) {
        m.identifier = (int)tern_rng_below(rng, (*drawn)++, 1 << TERN_CAN_IDENTIFIER_BITS);
        for (int i = 0; i < TERN_CAN_PAYLOAD; i++) m.data[i] = (uint8_t)tern_rng_below(rng, (*drawn)++, 256);
    }
    if (label == 3) {
        static const uint8_t data[SPOOFED][TERN_CAN_PAYLOAD] = {
            {0x01, 0x45, 0x60, 0xFF, 0x6B, 0, 0, 0}, {0x05, 0x20, 0xEA, 0x0A, 0x20, 0x1A, 0, 0x7F}};
        int which = (int)tern_rng_below(rng, (*drawn)++, SPOOFED);
        m.identifier = spoofed[which].identifier;
        memcpy(m.data, data[which], TERN_CAN_PAYLOAD);
    }
    return m;
}

/* Messages of a part of the log with one attack (0: none) among them, in the order of time. */
static tern_status mix(const tern_frame *log, size_t count, int label, const tern_frame *spoofed,
                       tern_rng rng, tern_traffic *out)
{
    double time = log[0].time;
    uint64_t drawn = 0;
    for (size_t i = 0; i < count; i++) {
        while (label && time < log[i].time) {
            tern_frame m = attack(label, time, spoofed, rng, &drawn);
            TERN_TRY(tern_traffic_add(out, &m));
            time += periods[label] * (1 + 0.1 * tern_rng_uniform(rng, drawn++));
        }
        TERN_TRY(tern_traffic_add(out, &log[i]));
    }
    return TERN_OK;
}

static tern_status make_split(const tern_frame *log, size_t count, const tern_frame *spoofed, uint64_t seed,
                              tern_split *split)
{
    tern_traffic all = {0};
    tern_status status = TERN_OK;
    for (int label = 0; status == TERN_OK && label < TERN_CAN_CLASSES; label++)
        status = mix(log, count, label, spoofed, (tern_rng){seed, (uint64_t)label}, &all);
    if (status == TERN_OK) status = tern_traffic_split(&all, all.count, split);
    tern_release(all.messages);
    return status;
}

tern_status tern_load_can(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    tern_traffic log = {0};
    char file[4096];
    snprintf(file, sizeof file, "%s/sample-can.log", path);
    tern_status status = tern_traffic_read(&log, file, parse_line, 0, true,
                                           "\"(seconds) bus identifier#bytes\" of 11 bits and up to 8 bytes, "
                                           "at a time not before the one above");
    if (status == TERN_OK) {
        double begin = log.messages[0].time, end = log.messages[log.count - 1].time;
        size_t cut = 0;
        while (cut < log.count - 10 && log.messages[cut].time < begin + 0.65 * (end - begin)) cut++;
        if (cut < 10) cut = 10;
        uint64_t seed = tern_hash("can", 3) + options->seed;
        const tern_frame spoofed[SPOOFED] = {log.messages[2], log.messages[3]};
        status = make_split(log.messages, cut, spoofed, seed, &dataset->train);
        if (status == TERN_OK)
            status = make_split(log.messages + cut, log.count - cut, spoofed, seed + 1000003, &dataset->test);
    }
    tern_release(log.messages);
    return status;
}
