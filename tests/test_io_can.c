/* io: messages of a CAN bus, from a log with attacks made for it and from HCRL's tables; damaged files of both. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "can-test-%ld", (long)getpid());
    return tern_make_folder(folder) == TERN_OK ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void write_lines(const char *name, const tern_text *t)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(tern_write_file(path, t->data, t->size));
}

static int identifier_of(const float *bits)
{
    int id = 0;
    for (int b = 0; b < 11; b++) id = 2 * id + (bits[b] > 0);
    return id;
}

/* Bits of payload byte `at`. */
static int byte_of(const float *bits, int at)
{
    int value = 0;
    for (int b = 0; b < 8; b++) value = 2 * value + (bits[11 + 8 * at + b] > 0);
    return value;
}

/* 200 messages a table; every third one is an attack, whose identifier is the table's. */
static void write_tables(const char *damaged, const char *line)
{
    static const char *const names[] = {"DoS_dataset.csv", "Fuzzy_dataset.csv", "gear_dataset.csv",
                                        "RPM_dataset.csv"};
    for (int f = 0; f < 4; f++) {
        tern_text t = {0};
        for (int i = 0; i < 200; i++) {
            if (strcmp(names[f], damaged) == 0 && i == 7)
                tern_text_format(&t, "%s\n", line);
            else if (i % 3 == 0)
                tern_text_format(&t, "%d.%06d,%04x,8,01,02,03,04,05,06,07,%02x,T\r\n", 1478198376 + i, i,
                                 0x100 * f + 0x43f, f);
            else /* two bytes of payload */
                tern_text_format(&t, "%d.%06d,05f0,2,ff,%02x,R\n", 1478198376 + i, i, i);
        }
        write_lines(names[f], &t);
        tern_text_free(&t);
    }
}

static tern_status open_tables(tern_dataset *d)
{
    char name[128];
    snprintf(name, sizeof name, "hcrl-car-hacking:%s", folder);
    return tern_dataset_open(d, name, NULL);
}

static tern_status open_and_close(void)
{
    tern_dataset d;
    TERN_TRY(open_tables(&d));
    tern_dataset_close(&d);
    return TERN_OK;
}

static void test_tables(void **state)
{
    (void)state;
    tern_dataset d;
    write_tables("", "");
    assert_ok(open_tables(&d));
    assert_int_equal(d.train.labels.shape.dim[0], 4 * 130);
    assert_int_equal(d.test.labels.shape.dim[0], 4 * 70);
    assert_int_equal(d.classes, 4);
    assert_true(d.mean[0] == 0 && d.std[0] == 1);
    static const int labels[] = {1, 2, 3, 3};
    for (int i = 0; i < 4 * 130; i++) {
        const float *bits = (const float *)d.train.images.data + 80 * (ptrdiff_t)i;
        int file = i / 130, row = i % 130;
        bool attack = row % 3 == 0;
        assert_int_equal(((const int32_t *)d.train.labels.data)[i], attack ? labels[file] : 0);
        assert_int_equal(identifier_of(bits), attack ? 0x100 * file + 0x43f : 0x5f0);
        assert_int_equal(byte_of(bits, 1), attack ? 2 : row);
        assert_int_equal(byte_of(bits, 7), attack ? file : 0); /* absent bytes are 0 */
        for (int b = 75; b < 80; b++) assert_true(bits[b] == 0);
    }
    tern_dataset_close(&d);
    assert_survives_out_of_memory(open_and_close());
}

static void test_damaged_tables(void **state)
{
    (void)state;
    static const char *const lines[] = {"nonsense",
                                        "1478198376.3,0800,0,R", /* 12 bits */
                                        "1478198376.3,0316,9,00,00,00,00,00,00,00,00,00,R",
                                        "1478198376.3,0316,2,00,R",
                                        "1478198376.3,0316,1,100,R",
                                        "1478198376.3,0316,1,00,X",
                                        "1478198376.3,0316,1,00,R,R",
                                        "1478198376.3,,1,00,R",
                                        "1478198376.3,0316,1,0g,R",
                                        ",0316,1,00,R"};
    tern_dataset d;
    for (size_t i = 0; i < TERN_COUNT(lines); i++) {
        write_tables("gear_dataset.csv", lines[i]);
        assert_error(open_tables(&d), TERN_FAILED, "gear_dataset.csv:8: ");
    }
    tern_text few = {0};
    tern_text_put(&few, "1478198376.3,0316,1,00,R\n");
    write_tables("", "");
    write_lines("Fuzzy_dataset.csv", &few);
    tern_text_free(&few);
    assert_error(open_tables(&d), TERN_FAILED, "1 messages, expected at least 100");
    assert_error(tern_dataset_open(&d, "hcrl-car-hacking:/nowhere", NULL), TERN_FAILED,
                 "/nowhere/DoS_dataset.csv");
    assert_error(tern_dataset_open(&d, "hcrl:x", NULL), TERN_USAGE, "hcrl-car-hacking");
}

/* A message every 10 ms. */
static void write_log(const char *line)
{
    tern_text t = {0};
    for (int i = 0; i < 200; i++) {
        if (*line && i == 7)
            tern_text_format(&t, "%s\n", line);
        else
            tern_text_format(&t, "(%d.%02d0000) can0 %03X#%02X%02X\n", 1398128223 + i / 100, i % 100,
                             0x120 + i % 5, i, 7);
    }
    write_lines("sample-can.log", &t);
    tern_text_free(&t);
}

static void test_log(void **state)
{
    (void)state;
    char name[128];
    tern_dataset d;
    int seen[4] = {0};
    snprintf(name, sizeof name, "can-attack:%s", folder);
    write_log("");
    assert_ok(tern_dataset_open(&d, name, NULL));
    for (int64_t i = 0; i < d.train.labels.shape.dim[0]; i++) {
        const float *bits = (const float *)d.train.images.data + 80 * i;
        int label = ((const int32_t *)d.train.labels.data)[i], id = identifier_of(bits);
        seen[label]++;
        if (label == 0) assert_in_range(id, 0x120, 0x124);
        if (label == 1) assert_int_equal(id, 0);
        if (label == 3) assert_in_range(id, 0x122, 0x123);
    }
    assert_int_equal(seen[0], 4 * 130); /* 65 % of two seconds, shown four times */
    for (int c = 1; c < 4; c++) assert_true(seen[c] > (c == 1 ? 4000 : c == 2 ? 2400 : 1200));
    tern_dataset_close(&d);
    static const char *const lines[] = {"",
                                        "(1) can0 800#00",
                                        "(1398128223.5) can0 120#000",
                                        "(1398128223.5) can0 120#000000000000000000",
                                        "1398128223.5 can0 120#00",
                                        "(1398128223.0) can0 120#00"};
    for (size_t i = 1; i < TERN_COUNT(lines); i++) {
        write_log(lines[i]);
        assert_error(tern_dataset_open(&d, name, NULL), TERN_FAILED, "sample-can.log:8: ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_damaged_tables),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
