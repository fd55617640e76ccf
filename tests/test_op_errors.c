/* Every operator of the table refuses wrong numbers of inputs, missing ones and wrong shapes, with a message that begins with
 * its name and says what was found beside what was expected. */
#include "op_cases.h"

/* Primes that no case draws. */
static tern_type odd_type(tern_dtype dtype)
{
    return (tern_type){.dtype = dtype, .shape = TERN_SHAPE(401, 409, 419, 421, 431)};
}

/* The message of an application that must or may fail; "" when it succeeded. */
static const char *message_of(const spec *s, const tern_type *const *in, int nin)
{
    static tern_type out[TERN_MAX_OUT];
    tern_infer types = {.op = s->op, .args = s->args, .nin = nin, .in = in, .out = out};
    tern_clear();
    if (s->op->infer(&types) == TERN_OK) return "";
    return tern_message();
}

static bool has_any(const char *message, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strstr(message, words[i])) return true;
    return false;
}

/* "name: .. expected .. found ..", in one of the ways in which these are said.  All that is wrong is told before the test
 * fails. */
static int wrong_count;

static void complain(const spec *s, const char *what, const char *how, const char *message)
{
    if (wrong_count++ < 400) print_error("%s, %s: %s: \"%s\"\n", s->op->name, what, how, message);
}

static void check_message(const spec *s, const char *message, const char *what)
{
    static const char *const expected[] = {"expected", "takes",    "must",   "missing", "does not", "do not",
                                           "not in",   "at least", "has no", "no ",     NULL};
    size_t length = strlen(s->op->name);
    if (!*message)
        complain(s, what, "accepted", "");
    else if (strncmp(message, s->op->name, length) != 0 || message[length] != ':')
        complain(s, what, "the message does not begin with the operator", message);
    else if (!has_any(message, expected) || strlen(message) < length + 12)
        complain(s, what, "the message does not say what was expected", message);
}

static void make(size_t c, spec *s, const tern_type **in)
{
    memset(s, 0, sizeof *s);
    s->op = tern_operator_find(cases[c].name);
    assert_non_null(s->op);
    cases[c].make(s);
    for (int i = 0; i < 12; i++) in[i] = i < s->nin && !s->absent[i] ? &s->in[i] : NULL;
}

static void test_number_of_inputs(void **state)
{
    (void)state;
    wrong_count = 0;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        spec s;
        const tern_type *in[100];
        make(c, &s, in);
        check_message(&s, message_of(&s, in, 0), "no inputs");
        for (int i = s.nin; i < 100; i++) in[i] = in[0];
        check_message(&s, message_of(&s, in, 100), "a hundred inputs");
    }
    assert_int_equal(wrong_count, 0);
}

static void test_missing_input(void **state)
{
    (void)state;
    wrong_count = 0;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        spec s;
        const tern_type *in[12];
        make(c, &s, in);
        static const char *const optional[] = {"lif_grad", "alif_grad",
                                               "leak_grad",    /* not every output is read */
                                               "int8_update"}; /* a bias may learn alone */
        bool may_lack = false;
        for (size_t i = 0; i < TERN_COUNT(optional); i++) may_lack |= strcmp(optional[i], s.op->name) == 0;
        if (may_lack) continue;
        in[0] = NULL;
        check_message(&s, message_of(&s, in, s.nin), "a missing first input");
    }
    assert_int_equal(wrong_count, 0);
}

/* Inputs that may have any shape. */
static bool takes_any_shape(const spec *s, int input)
{
    static const char *const any[] = {"embedding",      "table_int8",    "softmax_int8",
                                      "mean_int8",      "take_channels", "rescale_int16",
                                      "logistic_int16", "tanh_int16",    "softmax_int16"};
    static const char *const pairs[] = {"add_int8",  "subtract_int8",  "multiply_int8",
                                        "add_int16", "subtract_int16", "multiply_int16"};
    bool broadcasts = false;
    for (size_t i = 0; i < TERN_COUNT(pairs); i++) broadcasts |= strcmp(s->op->name, pairs[i]) == 0;
    for (size_t i = 0; i < TERN_COUNT(any); i++)
        if (strcmp(s->op->name, any[i]) == 0 && input == 0) return true;
    if (broadcasts && input < 2 && tern_elements(&s->in[1 - input].shape) == 1) return true;
    for (int i = 0; i < s->nin; i++) /* one number goes with every shape */
        if (i != input && !s->absent[i] && tern_elements(&s->in[i].shape) != 1) return false;
    return true;
}

/* Whatever else an operator is given, each input of another shape is refused. */
static void test_wrong_shapes(void **state)
{
    (void)state;
    wrong_count = 0;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        for (int round = 0; round < 8; round++) {
            spec s;
            const tern_type *in[12];
            char what[64];
            make(c, &s, in);
            for (int i = 0; i < s.nin; i++) {
                if (!in[i] || takes_any_shape(&s, i)) continue;
                const tern_type *kept = in[i], wrong = odd_type(kept->dtype);
                in[i] = &wrong;
                snprintf(what, sizeof what, "input %d of a wrong shape", i);
                check_message(&s, message_of(&s, in, s.nin), what);
                in[i] = kept;
            }
        }
    }
    assert_int_equal(wrong_count, 0);
}

/* A wrong format is either served or refused in words: packed blocks, which no operator computes with, and each single one. */
static void test_wrong_formats(void **state)
{
    (void)state;
    wrong_count = 0;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        spec s;
        const tern_type *in[12];
        char what[64];
        make(c, &s, in);
        for (int i = 0; i < s.nin; i++) {
            for (int d = 0; in[i] && d <= TERN_BIT; d++) {
                const tern_type *kept = in[i];
                tern_type wrong = *kept;
                wrong.dtype = (tern_dtype)d;
                in[i] = &wrong;
                snprintf(what, sizeof what, "input %d as %s", i, tern_dtype_of(wrong.dtype)->name);
                const char *message = message_of(&s, in, s.nin);
                if (*message) check_message(&s, message, what);
                in[i] = kept;
            }
        }
    }
    assert_int_equal(wrong_count, 0);
}

/* Arguments out of all reason. */
static void test_wrong_arguments(void **state)
{
    (void)state;
    wrong_count = 0;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        spec s;
        const tern_type *in[12];
        char what[64];
        make(c, &s, in);
        for (const tern_arg *a = s.op->args; a && a->name; a++) {
            void *field = s.args + a->offset;
            if (a->kind == TERN_ARG_INT) {
                int kept = *(int *)field;
                *(int *)field = -1000003;
                snprintf(what, sizeof what, "%s = -1000003", a->name);
                const char *message = message_of(&s, in, s.nin);
                if (*message) check_message(&s, message, what);
                *(int *)field = kept;
            } else if (a->kind == TERN_ARG_DIMS) {
                tern_shape kept = *(tern_shape *)field;
                *(tern_shape *)field = TERN_SHAPE(97, 101, 103, 107, 109);
                snprintf(what, sizeof what, "%s = [97,101,103,107,109]", a->name);
                const char *message = message_of(&s, in, s.nin);
                if (*message) check_message(&s, message, what);
                *(tern_shape *)field = kept;
            }
        }
    }
    assert_int_equal(wrong_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_of_inputs), cmocka_unit_test(test_missing_input),
        cmocka_unit_test(test_wrong_shapes),     cmocka_unit_test(test_wrong_formats),
        cmocka_unit_test(test_wrong_arguments),
    };
    return cmocka_run_group_tests_name("operators' errors", tests, NULL, NULL);
}
