/* base: errors, memory that fails, arenas, text, files, random numbers, threads. */
#define _DEFAULT_SOURCE
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_first_error_wins(void **state)
{
    (void)state;
    tern_clear();
    assert_int_equal(tern_fail(TERN_USAGE, "flag %s", "x"), TERN_USAGE);
    tern_fail(TERN_FAILED, "later");
    assert_string_equal(tern_message(), "flag x");
    tern_in(TERN_USAGE, "file %d", 3);
    assert_string_equal(tern_message(), "file 3: flag x");
    tern_in(TERN_USAGE, "file %d", 3);
    assert_string_equal(tern_message(), "file 3: flag x"); /* once is enough */
    tern_clear();
    assert_string_equal(tern_message(), "");
}

static void test_memory(void **state)
{
    (void)state;
    size_t held = tern_allocated();
    char *p = tern_take(1000);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 1000; i++) assert_int_equal(p[i], 0);
    memset(p, 7, 1000);
    p = tern_resize(p, 1000, 3000);
    assert_int_equal(p[999], 7);
    assert_int_equal(p[1000], 0);
    assert_int_equal(tern_allocated(), held + 3000);
    tern_release(p);
    assert_int_equal(tern_allocated(), held);
    assert_null(tern_take_array(SIZE_MAX / 4, 8));
    tern_fail_allocation(2);
    void *a = tern_take(8), *b = tern_take(8), *c = tern_take(8);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    tern_release(a);
    tern_release(c);
}

static tern_status arena_job(void)
{
    tern_arena arena = {0};
    bool all = true;
    for (int i = 0; i < 5; i++)
        all = all && tern_arena_take(&arena, 60000) && tern_arena_format(&arena, "%d", i);
    tern_arena_free(&arena);
    return all ? TERN_OK : tern_no_memory(60000, "a test");
}

static void test_arena(void **state)
{
    (void)state;
    assert_survives_out_of_memory(arena_job());
}

static void test_text(void **state)
{
    (void)state;
    char out[24];
    assert_string_equal(tern_human(out, 1234567, "B"), "1.23 MB");
    assert_string_equal(tern_human(out, 512, "B"), "512 B");
    assert_string_equal(tern_human(out, 4.5e-6, "J"), "4.50 uJ");
    assert_string_equal(tern_human(out, 0, "s"), "0.00 s");
    assert_string_equal(tern_human(out, 999600, "B"), "1.00 MB");
    assert_string_equal(tern_human(out, 3600000, ""), "3.60 M");
    double bytes;
    assert_ok(tern_parse_bytes("200M", &bytes));
    assert_true(bytes == 200e6);
    assert_ok(tern_parse_bytes("320KiB", &bytes));
    assert_true(bytes == 320 * 1024);
    assert_error(tern_parse_bytes("20 parsecs", &bytes), TERN_USAGE, "parsecs");
    assert_error(tern_parse_bytes("-1", &bytes), TERN_USAGE, "-1");
    const char *known[] = {"train", "eval", "cost"};
    assert_string_equal(tern_nearest("tran", known, 3), "train");
    assert_null(tern_nearest("zzz", known, 3));
    tern_text text = {0};
    for (int i = 0; i < 1000; i++) tern_text_format(&text, "%d,", i);
    assert_int_equal(text.size, strlen(text.data));
    tern_text_free(&text);
}

/* Links and devices stay what they are: of a link the target is replaced, a device is written to. */
static void test_no_replacement(const char *folder, const char *path)
{
    char link[64], *bytes;
    size_t count;
    struct stat about;
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink(path, link), 0);
    assert_ok(tern_write_file(link, "through", 7));
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_ok(tern_read_file(path, &bytes, &count));
    assert_string_equal(bytes, "through");
    tern_release(bytes);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(mkfifo(link, 0600), 0);
    int reader = open(link, O_RDONLY | O_NONBLOCK);
    char read_back[8] = "";
    assert_ok(tern_write_file(link, "piped", 5));
    assert_int_equal(read(reader, read_back, sizeof read_back), 5);
    assert_string_equal(read_back, "piped");
    close(reader);
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_error(tern_write_file(folder, "a", 1), TERN_FAILED, "directory");
}

static void test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/tern-test-XXXXXX", path[64], deep[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    assert_ok(tern_write_file(path, "old", 3));
    assert_ok(tern_write_file(path, "newer", 5));
    char *bytes;
    size_t count;
    assert_ok(tern_read_file(path, &bytes, &count));
    assert_int_equal(count, 5);
    assert_string_equal(bytes, "newer");
    tern_release(bytes);
    assert_ok(tern_make_folder(deep));
    assert_ok(tern_make_folder(deep));
    assert_error(tern_make_folder(path), TERN_FAILED, "file");
    assert_error(tern_read_file("/nonexistent/x", &bytes, &count), TERN_FAILED, "/nonexistent/x");
    assert_error(tern_write_file("/nonexistent/x", "a", 1), TERN_FAILED, "/nonexistent/x");
    test_no_replacement(folder, path);
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(tern_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(tern_crc32(tern_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
}

/* Known answers of Random123's own test file for philox4x32-10. */
static void test_philox(void **state)
{
    (void)state;
    uint32_t out[4];
    tern_rng_block((tern_rng){0, 0}, 0, out);
    const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(out, zero, sizeof out);
    tern_rng_block((tern_rng){UINT64_MAX, UINT64_MAX}, UINT64_MAX, out);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(out, ones, sizeof out);
    tern_rng_block((tern_rng){0x299f31d0a4093822u, 0x0370734413198a2eu}, 0x85a308d3243f6a88u, out);
    const uint32_t pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    assert_memory_equal(out, pi, sizeof out);
}

static void test_distributions(void **state)
{
    (void)state;
    tern_rng rng = {1, 2};
    double sum = 0, squares = 0, uniform = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double x = tern_rng_normal(rng, i);
        sum += x;
        squares += x * x;
        uniform += tern_rng_uniform(rng, i);
        assert_true(tern_rng_below(rng, i, 7) < 7);
    }
    assert_true(fabs(sum / 1e5) < 0.02 && fabs(squares / 1e5 - 1) < 0.03 && fabs(uniform / 1e5 - 0.5) < 0.01);
    uint32_t items[100], seen[100] = {0};
    for (uint32_t i = 0; i < 100; i++) items[i] = i;
    tern_rng_permute(rng, items, 100);
    for (int i = 0; i < 100; i++) seen[items[i]]++;
    for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
}

static void add_task(void *context, int64_t task, int thread)
{
    (void)thread;
    int64_t *cells = context;
    cells[task] += task;
}

static void nested_task(void *context, int64_t task, int thread)
{
    (void)thread;
    int64_t(*rows)[10] = context;
    tern_pool_run(NULL, 10, add_task, rows[task]);
}

static void test_pool(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        tern_pool *pool;
        assert_ok(tern_pool_open(&pool, threads));
        assert_int_equal(tern_pool_threads(pool), threads);
        int64_t cells[997] = {0}, rows[20][10] = {{0}};
        for (int round = 0; round < 200; round++) tern_pool_run(pool, 997, add_task, cells);
        for (int i = 0; i < 997; i++) assert_int_equal(cells[i], 200 * i);
        tern_pool_run(pool, 20, nested_task, rows);
        for (int i = 0; i < 20; i++) assert_int_equal(rows[i][9], 9);
        usleep(2000); /* workers fall asleep and wake again */
        tern_pool_run(pool, 997, add_task, cells);
        assert_int_equal(cells[996], 201 * 996);
        tern_pool_close(pool);
    }
    tern_pool_run(NULL, 0, add_task, NULL);
}

typedef struct nested {
    tern_pool *pool;
    int threads[64];
} nested;

static void note_thread(void *context, int64_t task, int thread)
{
    ((int *)context)[task] = thread;
}

/* A job within a task runs in the task's thread and under its number. */
static void check_nested(void *context, int64_t task, int thread)
{
    nested *n = context;
    int seen[3] = {-1, -1, -1};
    tern_pool_run(n->pool, 3, note_thread, seen);
    n->threads[task] = seen[0] == thread && seen[1] == thread && seen[2] == thread;
}

static void *run_jobs(void *context)
{
    int64_t cells[50] = {0};
    for (int i = 0; i < 300; i++) tern_pool_run(context, 50, add_task, cells);
    return cells[49] == 300 * 49 ? context : NULL;
}

/* Two threads give jobs to one pool: they take turns. */
static void test_pool_is_shared(void **state)
{
    (void)state;
    nested n = {0};
    assert_ok(tern_pool_open(&n.pool, 3));
    tern_pool_run(n.pool, 64, check_nested, &n);
    for (int i = 0; i < 64; i++) assert_true(n.threads[i]);
    pthread_t other;
    void *result;
    assert_int_equal(pthread_create(&other, NULL, run_jobs, n.pool), 0);
    assert_ptr_equal(run_jobs(n.pool), n.pool);
    assert_int_equal(pthread_join(other, &result), 0);
    assert_ptr_equal(result, n.pool);
    tern_pool_close(n.pool);
}

static tern_status open_and_close(void)
{
    tern_pool *pool;
    TERN_TRY(tern_pool_open(&pool, 2));
    tern_pool_close(pool);
    return TERN_OK;
}

static void test_pool_opens(void **state)
{
    (void)state;
    assert_survives_out_of_memory(open_and_close());
    const char *old = getenv("TERN_THREADS");
    char *kept = old ? strdup(old) : NULL;
    tern_pool *pool;
    setenv("TERN_THREADS", "3", 1);
    assert_ok(tern_pool_open(&pool, 0));
    assert_int_equal(tern_pool_threads(pool), 3);
    tern_pool_close(pool);
    setenv("TERN_THREADS", "many", 1);
    assert_error(tern_pool_open(&pool, 0), TERN_USAGE, "many");
    if (kept)
        setenv("TERN_THREADS", kept, 1);
    else
        unsetenv("TERN_THREADS");
    free(kept);
}

/* A folder in which no new file can be made: the old file stays as it was and nothing is left behind. */
static void test_failed_write_keeps_old(void **state)
{
    (void)state;
    char folder[] = "/tmp/tern-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    assert_ok(tern_write_file(path, "old", 3));
    tern_writer writer;
    assert_ok(tern_writer_open(&writer, path));
    assert_ok(tern_writer_add(&writer, "half", 4));
    char *bytes;
    size_t count;
    assert_ok(tern_read_file(path, &bytes, &count));
    assert_string_equal(bytes, "old"); /* not yet replaced */
    tern_release(bytes);
    assert_int_equal(tern_writer_close(&writer, TERN_FAILED), TERN_FAILED);
    assert_ok(tern_read_file(path, &bytes, &count));
    assert_string_equal(bytes, "old");
    tern_release(bytes);
    assert_survives_out_of_memory(tern_write_file(path, "new", 3));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* empty: no temporary file was left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_is_shared),
        cmocka_unit_test(test_pool_opens),
        cmocka_unit_test(test_failed_write_keeps_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
