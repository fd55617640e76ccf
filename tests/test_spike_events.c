/* spike: events: ATIS words, frames, the camera model. */
#include "damage.h"
#include "test.h"

#include "spike/events.h"

#include <math.h>

static void test_words(void **state)
{
    (void)state;
    /* The second word is no event but adds 2^13 us. */
    static const uint8_t words[] = {3, 4, 0x81, 2, 3, 0, 240, 0, 0, 0, 5, 6, 0x01, 2, 4};
    tern_events e;
    assert_ok(tern_events_parse_atis(words, sizeof words, "w", 8, 8, &e));
    assert_int_equal(e.count, 2);
    assert_true(e.items[0].x == 3 && e.items[0].y == 4 && e.items[0].on && e.items[0].t == 0x10203);
    assert_true(e.items[1].x == 5 && e.items[1].y == 6 && !e.items[1].on && e.items[1].t == 0x10204 + 8192);
    tern_events_free(&e);
    assert_error(tern_events_parse_atis(words, 14, "w", 8, 8, &e), TERN_FAILED,
                 "14 bytes, expected a multiple of 5");
    assert_error(tern_events_parse_atis(words, 15, "w", 8, 5, &e), TERN_FAILED,
                 "byte 10 is at (5,6), expected within 8 x 5");
    static const uint8_t back[] = {0, 0, 0, 0, 9, 0, 0, 0, 0, 8};
    assert_error(tern_events_parse_atis(back, 10, "w", 8, 8, &e), TERN_FAILED, "byte 5 is at 8 us, before");
}

/* Events at times 0, 1, 2, 3, 4, 100 at (i, 0). */
static tern_events six(void)
{
    tern_events e = {.width = 8, .height = 4};
    for (int i = 0; i < 6; i++)
        assert_ok(tern_events_add(&e, (tern_event){i < 5 ? (uint32_t)i : 100, (uint16_t)i, 0, i % 2}));
    return e;
}

static void assert_frame_counts(tern_events *e, tern_frame_rule rule, int steps, const int *want)
{
    tern_tensor t;
    assert_ok(tern_tensor_new(&t, TERN_U8, &TERN_SHAPE(steps, 2, 4, 8)));
    memset(t.data, 7, 64);
    tern_events_frames(e, rule, &t);
    for (int s = 0; s < steps; s++) {
        int sum = 0;
        for (int i = 0; i < 64; i++) sum += (int)tern_get(&t, s * 64 + i);
        assert_int_equal(sum, want[s]);
    }
    tern_tensor_free(&t);
}

static void test_frames(void **state)
{
    (void)state;
    tern_events e = six();
    assert_frame_counts(&e, TERN_FRAMES_BY_NUMBER, 4, (const int[]){1, 1, 1, 3});
    assert_frame_counts(&e, TERN_FRAMES_BY_TIME, 4, (const int[]){5, 0, 0, 1});
    assert_frame_counts(&e, TERN_FRAMES_BY_NUMBER, 8, (const int[]){0, 0, 0, 0, 0, 0, 0, 6});
    /* Channel, place, and counting together on a coarser grid. */
    tern_tensor t;
    assert_ok(tern_tensor_new(&t, TERN_U8, &TERN_SHAPE(1, 2, 1, 4)));
    tern_events_frames(&e, TERN_FRAMES_BY_NUMBER, &t);
    static const int want[] = {1, 1, 1, 0, 1, 1, 1, 0};
    for (int i = 0; i < 8; i++) assert_true(tern_get(&t, i) == want[i]);
    /* Counts stop at 255. */
    for (int i = 0; i < 400; i++) assert_ok(tern_events_add(&e, (tern_event){100, 7, 3, true}));
    tern_events_frames(&e, TERN_FRAMES_BY_NUMBER, &t);
    assert_true(tern_get(&t, 7) == 255);
    e.count = 0;
    tern_events_frames(&e, TERN_FRAMES_BY_TIME, &t);
    for (int i = 0; i < 8; i++) assert_true(tern_get(&t, i) == 0);
    tern_tensor_free(&t);
    tern_events_free(&e);
}

/* One step of log intensity by 1.05 at threshold 0.2: five events, a refractory time apart. */
static void test_camera_steps(void **state)
{
    (void)state;
    tern_camera_options o = {.width = 2, .height = 1, .threshold = 0.2, .refractory = 2000};
    tern_camera *camera;
    tern_events e = {.width = 2, .height = 1};
    float plane[2] = {1, 1};
    assert_ok(tern_camera_open(&camera, &o));
    assert_ok(tern_camera_look(camera, plane, 0, &e));
    plane[1] = expf(1.05f);
    for (uint32_t k = 1; k <= 30; k++) assert_ok(tern_camera_look(camera, plane, k * 1000, &e));
    assert_int_equal(e.count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_true(e.items[i].x == 1 && e.items[i].on && e.items[i].t == 1000 + 2000 * i);
    plane[1] = 1; /* back: from memory 1.0 down to 0, five more */
    for (uint32_t k = 31; k <= 60; k++) assert_ok(tern_camera_look(camera, plane, k * 1000, &e));
    assert_true(e.count >= 9 && e.count <= 10); /* the fifth is at the threshold, to rounding */
    assert_false(e.items[5].on);
    tern_events_free(&e);
    tern_camera_close(camera);
}

static void test_camera_noise(void **state)
{
    (void)state;
    tern_camera_options o = {.width = 50, .height = 40, .threshold = 0.2, .spread = 0.03, .noise = 0.1};
    tern_camera *camera;
    tern_events e = {.width = 50, .height = 40};
    static float plane[2000];
    for (int i = 0; i < 2000; i++) plane[i] = 0.5f;
    assert_ok(tern_camera_open(&camera, &o));
    for (uint32_t k = 0; k <= 1000; k++) assert_ok(tern_camera_look(camera, plane, k * 10000, &e));
    double on = 0; /* 2000 pixels, 10 s, 0.1 Hz: 2000 events, give or take five deviations */
    for (size_t i = 0; i < e.count; i++) on += e.items[i].on;
    for (size_t i = 1; i < e.count; i++) assert_true(e.items[i].t >= e.items[i - 1].t);
    assert_true(fabs((double)e.count - 2000) < 5 * sqrt(2000));
    assert_true(fabs(on - (double)e.count / 2) < 5 * sqrt(500));
    tern_events_free(&e);
    tern_camera_close(camera);
}

static tern_status read_words(const void *bytes, size_t count)
{
    tern_events e = {0};
    TERN_TRY(tern_events_parse_atis(bytes, count, "damaged", 34, 34, &e));
    tern_events_free(&e);
    return TERN_OK;
}

static tern_status camera_job(void)
{
    tern_camera_options o = {.width = 4, .height = 4, .threshold = 0.2, .noise = 1e3};
    tern_camera *camera = NULL;
    tern_events e = {.width = 4, .height = 4};
    float plane[16] = {0};
    for (int i = 0; i < 16; i++) plane[i] = 1;
    TERN_TRY(tern_camera_open(&camera, &o));
    tern_status status = tern_camera_look(camera, plane, 0, &e);
    if (status == TERN_OK) status = tern_camera_look(camera, plane, 1000000, &e);
    tern_events_free(&e);
    tern_camera_close(camera);
    return status;
}

static void test_damage_and_memory(void **state)
{
    (void)state;
    uint8_t words[100];
    for (int i = 0; i < 100; i++) words[i] = (uint8_t)(i % 5 == 4 ? i : i % 5 < 2 ? i % 34 : 0);
    assert_true(damage_attempt(read_words, words, sizeof words));
    damage_cut(read_words, words, sizeof words);
    damage_flip(read_words, words, sizeof words, 10000);
    assert_survives_out_of_memory(read_words(words, sizeof words));
    assert_survives_out_of_memory(camera_job());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_camera_steps),
        cmocka_unit_test(test_camera_noise),
        cmocka_unit_test(test_damage_and_memory),
    };
    return cmocka_run_group_tests_name("spike: events", tests, NULL, NULL);
}
