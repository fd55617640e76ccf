/* Messages of a CAN bus, which logs of several formats are read into. */
#ifndef TERN_IO_CAN_H
#define TERN_IO_CAN_H

#include "io/dataset.h"

/* A sample is [80] of 0 and 1: the identifier (11 bits, highest first), eight bytes of payload (absent ones 0), 5 zeros. */
enum { TERN_CAN_INPUTS = 80, TERN_CAN_IDENTIFIER_BITS = 11, TERN_CAN_PAYLOAD = 8, TERN_CAN_CLASSES = 4 };

typedef struct tern_frame {
    double time;
    int identifier, label; /* 0 normal, 1 dos, 2 fuzzy, 3 spoof */
    uint8_t data[TERN_CAN_PAYLOAD];
} tern_frame;

typedef struct tern_traffic {
    tern_frame *messages;
    size_t count, capacity;
} tern_traffic;

tern_status tern_traffic_add(tern_traffic *traffic, const tern_frame *message);

/* Add the lines of a text file, at least 100.  A line that `parse` does not take, or whose time is before that of the one above
 * where times must not fall, is an error that says what was `expected`. */
typedef bool tern_frame_parse(const char *line, int label, tern_frame *message);
tern_status tern_traffic_read(tern_traffic *traffic, const char *path, tern_frame_parse *parse, int label,
                              bool rising, const char *expected);

/* The value of a hexadecimal digit, or -1. */
int tern_hex_digit(char c);

/* Samples and labels of `count` of the messages, evenly spaced (all: traffic->count). */
tern_status tern_traffic_split(const tern_traffic *traffic, size_t count, tern_split *split);

#endif
