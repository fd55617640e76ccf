/* Functions that the bodies of operators may call, written where they do. */
#include "emit/byte_text.h"
#include "emit/emit.h"
#include "emit/half_text.h"

#include <string.h>

static const char bit_functions[] = "static inline uint8_t get_bit(const uint8_t *bits, int i)\n{\n"
                                    "    return bits[i >> 3] >> (i & 7) & 1;\n}\n\n"
                                    "static inline void set_bit(uint8_t *bits, int i)\n{\n"
                                    "    bits[i >> 3] = (uint8_t)(bits[i >> 3] | 1u << (i & 7));\n}\n\n";
static const char logistic_function[] = "static inline double logistic(double x)\n{\n"
                                        "    double e = exp(-fabs(x));\n"
                                        "    return x >= 0 ? 1 / (1 + e) : e / (1 + e);\n}\n\n";

/* The same as in kernel/int8.h. */
static const char clamp_function[] =
    "static inline int8_t clamp_byte(int32_t x, int32_t low, int32_t high)\n{\n"
    "    return (int8_t)(x < low ? low : x > high ? high : x);\n}\n\n";
static const char requantise_function[] =
    "/* x multiplier 2^(shift - 31), rounded as TensorFlow Lite does: halves up, then halves away from 0. "
    "*/\n"
    "static inline int32_t requantise(int32_t x, int32_t multiplier, int shift)\n{\n"
    "    int left = shift > 0 ? shift : 0, right = left - shift, half = right > 0;\n"
    "    int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * multiplier;\n"
    "    int32_t high = (int32_t)((product + (1LL << 30)) >> 31);\n"
    "    return (((high + ((high >> 31) & -half)) >> (right - half)) + half) >> half;\n}\n\n";
/* The same as in kernel/int16.h. */
static const char short_function[] =
    "static inline int16_t clamp_short(int32_t x, int32_t low, int32_t high)\n{\n"
    "    return (int16_t)(x < low ? low : x > high ? high : x);\n}\n\n";
static const char wide_functions[] =
    "/* Sums of 64 bits: from two halves, and times the upper 16 bits of multiplier 2^(shift - 31), halves "
    "up. */\n"
    "static inline int64_t wide_of(int32_t upper, int32_t lower)\n{\n"
    "    return (int64_t)((uint64_t)(uint32_t)upper << 32 | (uint32_t)lower);\n}\n\n"
    "static inline int32_t wide_scaled(int64_t x, int32_t multiplier, int shift)\n{\n"
    "    int64_t upper = multiplier < 0x7fff0000 ? (multiplier + 0x8000) >> 16 : 0x7fff;\n"
    "    int down = shift > 14 ? 1 : 15 - shift;\n"
    "    return (int32_t)(((int64_t)((uint64_t)x * (uint64_t)upper + (1ULL << (down - 1)))) >> down);\n}\n\n";
static const char short_float_function[] =
    "/* x / scale + zero as 16 bits, saturated, halves away from 0. */\n"
    "static inline int16_t short_of_float(float x, float scale, int32_t zero)\n{\n"
    "    float t = x / scale;\n"
    "    t = t == t ? t : 0;\n"
    "    t = t > -131072 ? t : -131072;\n"
    "    t = t < 131072 ? t : 131072;\n"
    "    int32_t whole = (int32_t)t;\n"
    "    float rest = t - (float)whole;\n"
    "    return clamp_short(whole + (rest >= 0.5f) - (rest <= -0.5f) + zero, -32768, 32767);\n}\n\n";
/* The same as in kernel/exponent.h. */
static const char share_functions[] =
    "/* x 2^-bits, halves away from 0, and a b 2^-31. */\n"
    "static inline int32_t shift_down(int32_t x, int bits)\n{\n"
    "    int32_t mask = (int32_t)((1u << bits) - 1);\n"
    "    return (x >> bits) + ((x & mask) > (mask >> 1) + (x < 0));\n}\n\n"
    "static inline int32_t high_product(int32_t a, int32_t b)\n{\n"
    "    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);\n}\n\n"
    "/* The reciprocal of a sum of shares in units of 2^-19, by Newton's method. */\n"
    "static inline int32_t reciprocal_of(int32_t sum, int32_t *shift)\n{\n"
    "    int zeros = 0;\n"
    "    while (zeros < 31 && !((uint32_t)sum << zeros >> 31)) zeros++;\n"
    "    int32_t rest = (int32_t)(((uint32_t)sum << zeros) - (1u << 31));\n"
    "    int32_t half = (int32_t)(((int64_t)rest + INT32_MAX + 1) / 2);\n"
    "    int32_t y = 1515870810 + high_product(half, -1010580540);\n"
    "    for (int i = 0; i < 3; i++) y += high_product(y, (1 << 29) - high_product(half, y)) * 4;\n"
    "    *shift = 35 - zeros;\n"
    "    return y > INT32_MAX / 2 ? INT32_MAX : y * 2;\n}\n\n";
static const char square_function[] =
    "/* (difference weight 2^-places)^2, of 16 bits. */\n"
    "static inline int32_t square_code(int32_t difference, int32_t weight, int places)\n{\n"
    "    int32_t z = difference * weight >> places;\n"
    "    z = z < -32768 ? -32768 : z > 32767 ? 32767 : z;\n"
    "    return z * z;\n}\n\n";
static const char code_function[] =
    "/* x 2^point as a whole number, halves up, saturated, by the bits of x. */\n"
    "static inline int32_t fixed_code_of(float x, int point, int32_t low, int32_t high)\n{\n"
    "    uint32_t bits;\n"
    "    memcpy(&bits, &x, sizeof bits);\n"
    "    int32_t exponent = (int32_t)(bits >> 23 & 255), down = 150 - exponent - point;\n"
    "    int32_t k = (int32_t)((bits & 0x7fffff) | (exponent ? 0x800000 : 0));\n"
    "    if (bits >> 31) k = -k;\n"
    "    if (down > 25) return 0;\n"
    "    if (down < 1) return k < 0 ? low : k ? high : 0; /* of 2^23 and more */\n"
    "    k = (k + (1 << (down - 1))) >> down;\n"
    "    return k < low ? low : k > high ? high : k;\n}\n\n";
static const char saturate_function[] = "static inline int32_t saturate_short(int32_t x)\n{\n"
                                        "    return x < -32768 ? -32768 : x > 32767 ? 32767 : x;\n}\n\n";
static const char short_functions[] =
    "/* Between two steps of 2^-bits. */\n"
    "static inline uint32_t between_steps(const int32_t *steps, uint32_t size, int bits)\n{\n"
    "    uint32_t at = size >> bits, rest = size & ((1u << bits) - 1);\n"
    "    if (at >= 255) return 0xffffu << bits;\n"
    "    return ((uint32_t)steps[at] << bits) + rest * (uint32_t)(steps[at + 1] - steps[at]);\n}\n\n"
    "static inline int32_t short_scaled(int32_t x, int32_t multiplier, int shift)\n{\n"
    "    return (x * multiplier + (shift > 0 ? 1 << (shift - 1) : 0)) >> shift;\n}\n\n"
    "static inline int32_t short_sigmoid(const int32_t *steps, int32_t x, int32_t multiplier, int "
    "shift)\n{\n"
    "    int32_t scaled = short_scaled(x, multiplier, shift);\n"
    "    uint32_t size = (uint32_t)(scaled < 0 ? -scaled : scaled), y = between_steps(steps, size, 9);\n"
    "    if (size >> 9 >= 255) y = 0x7fffu << 10;\n"
    "    y = scaled >= 0 ? y + 512 : (1u << 25) - y + 511;\n"
    "    return (int16_t)(y >> 10);\n}\n\n"
    "static inline int32_t short_tanh(const int32_t *steps, int32_t x, int32_t multiplier, int shift)\n{\n"
    "    int32_t scaled = short_scaled(x, multiplier, shift);\n"
    "    int32_t y = (int32_t)between_steps(steps, (uint32_t)(scaled < 0 ? -scaled : scaled), 8);\n"
    "    y = scaled >= 0 ? y - (1 << 23) + 128 : -y + (1 << 23) + 127;\n"
    "    return (int16_t)(y >> 8);\n}\n\n";
static const char row_functions[] =
    "/* The same as in kernel/exponent.h, and the exponential of what lies below the largest of a row. */\n"
    "static inline int32_t short_between(const int16_t *steps, int32_t x)\n{\n"
    "    int at = 256 + (x >> 7), slope = (int16_t)(steps[at + 1] - steps[at]);\n"
    "    return (int16_t)(steps[at] + ((slope * (x & 127) + 64) >> 7));\n}\n\n"
    "static inline int32_t short_exp(const int16_t *steps, int32_t below, const int32_t *q)\n{\n"
    "    int32_t x = requantise(below, q[0], q[1]);\n"
    "    return short_between(steps, x < -65535 ? -32768 : x > 0 ? 32767 : x + 32767);\n}\n\n";
static const char float_function[] =
    "/* The nearest byte to x / scale + zero. */\n"
    "static inline int8_t byte_of_float(float x, float scale, int32_t zero)\n{\n"
    "    float t = x / scale;\n"
    "    t = t == t ? t : 0;\n"
    "    t = t > -1024 ? t : -1024;\n"
    "    t = t < 1024 ? t : 1024;\n"
    "    int32_t whole = (int32_t)t;\n"
    "    float rest = t - (float)whole;\n"
    "    return clamp_byte(whole + (rest >= 0.5f) - (rest <= -0.5f) + zero, -128, 127);\n}\n\n";
/* The same as in kernel/int8_rows.c. */
static const char norm_function[] =
    "static inline uint32_t whole_root(uint64_t x)\n{\n"
    "    uint64_t root = 0;\n"
    "    for (uint64_t bit = 1ull << 54; bit; bit >>= 2) {\n"
    "        int in = x >= root + bit;\n"
    "        if (in) x -= root + bit;\n"
    "        root = (root >> 1) + (in ? bit : 0);\n"
    "    }\n"
    "    return (uint32_t)root;\n}\n\n"
    "/* Layer norm of a row: h is in units of 2^-16. */\n"
    "static inline void norm_row(int n, const int8_t *x, const int32_t *weight, const int32_t *bias, const "
    "int32_t *q, int8_t *y)\n{\n"
    "    int32_t sum = 0, squares = 0;\n"
    "    for (int i = 0; i < n; i++) {\n"
    "        sum += x[i];\n"
    "        squares += x[i] * x[i];\n"
    "    }\n"
    "    int64_t variance = 16 * ((int64_t)n * squares - (int64_t)sum * sum) + (q[0] > 0 ? q[0] : 1);\n"
    "    const int shift = 16 + q[1], zero = q[2];\n"
    "    int down = 22;\n"
    "    for (; variance < 1LL << 40; down--) variance *= 4;\n"
    "    int64_t inverse = (1LL << 46) / whole_root((uint64_t)variance << 12);\n"
    "    for (int i = 0; i < n; i++) {\n"
    "        int64_t h = ((int64_t)(n * x[i] - sum) * inverse + (1LL << (down - 1))) >> down;\n"
    "        int64_t whole = h * weight[i] + bias[i] * (1LL << (shift - 8));\n"
    "        y[i] = clamp_byte((int32_t)((whole + (1LL << (shift - 1))) >> shift) + zero, -128, 127);\n"
    "    }\n}\n\n";
static const char attend_function[] =
    "/* One query over keys and values: exponentials come from a table, between whose steps is interpolated. "
    "*/\n"
    "static inline void attend_row(int keys, int width, int out, const int8_t *query, const int8_t *k, int "
    "k_stride, const int8_t *v, int v_stride, const int32_t *q, const int16_t *table, void *scratch, int8_t "
    "*y)\n{\n"
    "    int32_t *scores = scratch, *sums = scores + keys, highest = INT32_MIN, total = 0;\n"
    "    for (int j = 0; j < keys; j++) {\n"
    "        const int8_t *key = k + j * k_stride;\n"
    "        const int32_t zero = q[0];\n"
    "        int32_t sum = 0;\n"
    "        for (int i = 0; i < width; i++) sum += (query[i] - zero) * key[i];\n"
    "        scores[j] = sum;\n"
    "        highest = sum > highest ? sum : highest;\n"
    "    }\n"
    "    for (int i = 0; i < out; i++) sums[i] = 0;\n"
    "    for (int j = 0; j < keys; j++) {\n"
    "        const int8_t *value = v + j * v_stride;\n"
    "        int32_t below = highest - scores[j];\n"
    "        if (below > q[4]) continue;\n"
    "        int32_t p = requantise(below, q[2], q[3]), at = p >> 8, rest = p & 255;\n"
    "        int32_t e = (table[at] * (256 - rest) + table[at + 1] * rest + 128) >> 8;\n"
    "        total += e;\n"
    "        for (int i = 0; i < out; i++) sums[i] += e * value[i];\n"
    "    }\n"
    "    int64_t inverse = (1LL << 40) / (total > 0 ? total : 1);\n"
    "    for (int i = 0; i < out; i++) {\n"
    "        int64_t mean = ((sums[i] - (int64_t)q[1] * total) * inverse + (1 << 23)) >> 24;\n"
    "        y[i] = clamp_byte(requantise((int32_t)mean, q[5], q[6]) + q[7], -128, 127);\n"
    "    }\n}\n\n";

static const char linear_function[] =
    "/* Some rows through a linear layer, output by output: weights are read once. */\n"
    "static inline void linear_rows(int rows, int inputs, int outputs, const int8_t *x, const int8_t *w, "
    "const "
    "int32_t *bias, const int32_t *multiplier, const int8_t *shift, int each, const int32_t *q, int8_t "
    "*y)\n{\n"
    "    const int32_t zero = q[1], low = q[2], high = q[3];\n"
    "    for (int o = 0; o < outputs; o++)\n"
    "        for (int r = 0; r < rows; r++) {\n"
    "            int32_t sum = dot_bytes(inputs, x + r * inputs, w + o * inputs, bias[o]);\n"
    "            y[r * outputs + o] = clamp_byte(requantise(sum, multiplier[o * each], shift[o * each]) + "
    "zero, "
    "low, high);\n"
    "        }\n}\n\n";
static const char add_function[] =
    "static inline void add_rows(int n, const int8_t *a, const int8_t *b, const int32_t *q, int8_t *y)\n{\n"
    "    for (int i = 0; i < n; i++)\n"
    "        y[i] = clamp_byte(requantise(requantise((a[i] - q[0]) * (1 << 20), q[1], q[2]) + "
    "requantise((b[i] - "
    "q[3]) * (1 << 20), q[4], q[5]), q[7], q[8]) + q[6], q[9], q[10]);\n}\n\n";

/* The same as in kernel/portable.h. */
static const char exp_function[] = "/* exp(x) of x <= 0, with the same bits everywhere. */\n"
                                   "static inline float exp_negative(float x)\n{\n"
                                   "    if (!(x > -80)) return 0;\n"
                                   "    int32_t n = (int32_t)(x * 1.44269504f - 0.5f);\n"
                                   "    float whole = (float)n, r = x - whole * 0.693359375f, power, y;\n"
                                   "    uint32_t bits = (uint32_t)(n + 127) << 23;\n"
                                   "    r = r - whole * -2.12194440e-4f;\n"
                                   "    y = 1.9875691500e-4f;\n"
                                   "    y = y * r + 1.3981999507e-3f;\n"
                                   "    y = y * r + 8.3334519073e-3f;\n"
                                   "    y = y * r + 4.1665795894e-2f;\n"
                                   "    y = y * r + 1.6666665459e-1f;\n"
                                   "    y = y * r + 5.0000001201e-1f;\n"
                                   "    memcpy(&power, &bits, sizeof power);\n"
                                   "    return (y * (r * r) + r + 1) * power;\n}\n\n";
static const char log_function[] = "/* log(x) of a normal x > 0. */\n"
                                   "static inline float log_positive(float x)\n{\n"
                                   "    uint32_t bits;\n"
                                   "    memcpy(&bits, &x, sizeof bits);\n"
                                   "    int32_t n = (int32_t)(bits >> 23) - 126;\n"
                                   "    bits = (bits & 0x7fffffu) | 126u << 23;\n"
                                   "    memcpy(&x, &bits, sizeof x);\n"
                                   "    if (x < 0.707106781f) {\n"
                                   "        n--;\n"
                                   "        x = x + x;\n"
                                   "    }\n"
                                   "    float r = x - 1, z = r * r, y = 7.0376836292e-2f;\n"
                                   "    y = y * r - 1.1514610310e-1f;\n"
                                   "    y = y * r + 1.1676998740e-1f;\n"
                                   "    y = y * r - 1.2420140846e-1f;\n"
                                   "    y = y * r + 1.4249322787e-1f;\n"
                                   "    y = y * r - 1.6668057665e-1f;\n"
                                   "    y = y * r + 2.0000714765e-1f;\n"
                                   "    y = y * r - 2.4999993993e-1f;\n"
                                   "    y = y * r + 3.3333331174e-1f;\n"
                                   "    return r + (y * r * z - 0.5f * z) + (float)n * 0.693147181f;\n}\n\n";
static const char round_function[] =
    "/* A whole number of less than 2^30: the nearest, or up with the probability of the fraction. */\n"
    "static inline int32_t round_by(float x, int stochastic, float chance)\n{\n"
    "    if (!(x == x)) return 0;\n"
    "    x = x > -1073741824.0f ? x : -1073741824.0f;\n"
    "    x = x < 1073741824.0f ? x : 1073741824.0f;\n"
    "    int32_t whole = (int32_t)x;\n"
    "    float rest = x - (float)whole;\n"
    "    if (!stochastic) return whole + (rest >= 0.5f) - (rest <= -0.5f);\n"
    "    if (rest < 0) {\n"
    "        whole--;\n"
    "        rest = rest + 1;\n"
    "    }\n"
    "    return whole + (rest > chance);\n}\n\n";
static const char chance_function[] =
    "/* 0 <= u < 1 of element i of a step: MurmurHash3's last steps. */\n"
    "static inline float chance(uint32_t stream, uint32_t step, uint32_t i)\n{\n"
    "    uint32_t h = stream * 0xc2b2ae35u + step * 0x9e3779b9u + i * 0x85ebca6bu;\n"
    "    h = (h ^ h >> 16) * 0x85ebca6bu;\n"
    "    h = (h ^ h >> 13) * 0xc2b2ae35u;\n"
    "    h ^= h >> 16;\n"
    "    return (float)(h >> 8) * (1.0f / 16777216);\n}\n\n";

/* Inlined into the run, steps would share its registers; copied for constant operands (gcc), they would be no smaller. */
static const char apart_macro[] = "#if defined(__clang__)\n"
                                  "#define APART __attribute__((noinline))\n"
                                  "#elif defined(__GNUC__)\n"
                                  "#define APART __attribute__((noinline, noclone))\n"
                                  "#else\n"
                                  "#define APART\n"
                                  "#endif\n\n";

/* A text and the call that asks for it; each is written once, those that others call before these. */
static const struct {
    const char *call, *text;
} functions[] = {{"APART", apart_macro},
                 {"_bit(", bit_functions},
                 {"logistic(", logistic_function},
                 {"clamp_byte(", clamp_function},
                 {"byte_of_float(", clamp_function},
                 {"norm_row(", clamp_function},
                 {"attend_row(", clamp_function},
                 {"linear_rows(", clamp_function},
                 {"add_rows(", clamp_function},
                 {"requantise(", requantise_function},
                 {"attend_row(", requantise_function},
                 {"linear_rows(", requantise_function},
                 {"add_rows(", requantise_function},
                 {"clamp_short(", short_function},
                 {"short_of_float(", short_function},
                 {"short_of_float(", short_float_function},
                 {"wide_scaled(", wide_functions},
                 {"norm_row(", norm_function},
                 {"attend_row(", attend_function},
                 {"byte_of_float(", float_function},
                 {"reciprocal_of(", share_functions},
                 {"saturate_short(", saturate_function},
                 {"short_tanh(", short_functions},
                 {"short_sigmoid(", short_functions},
                 {"short_exp(", requantise_function},
                 {"short_exp(", row_functions},
                 {"square_code(", square_function},
                 {"fixed_code_of(", code_function},
                 {"dot_bytes(", tern_byte_text_pairs},
                 {"dot_two(", tern_byte_text_pairs},
                 {"dot_four(", tern_byte_text_pairs},
                 {"plane_row_3(", tern_byte_text_pairs},
                 {"patch_planes(", tern_byte_text_pairs},
                 {"patch_pixel(", tern_byte_text_pairs},
                 {"linear_rows(", tern_byte_text_pairs},
                 {"dot_bytes(", tern_byte_text_dot},
                 {"linear_rows(", tern_byte_text_dot},
                 {"add_product(", tern_byte_text_product},
                 {"dot_two(", tern_byte_text_product},
                 {"dot_two(", tern_byte_text_two},
                 {"dot_four(", tern_byte_text_product},
                 {"dot_four(", tern_byte_text_four},
                 {"patch_pixel(", tern_byte_text_pixel},
                 {"patch_planes(", tern_byte_text_planes},
                 {"copy_bytes(", tern_byte_text_copy},
                 {"plane_row_3(", tern_byte_text_row},
                 {"linear_rows(", linear_function},
                 {"add_rows(", add_function},
                 {"exp_negative(", exp_function},
                 {"log_positive(", log_function},
                 {"round_by(", round_function},
                 {" chance(", chance_function},
                 {" f16_", tern_half_text_odd},
                 {" bf16_", tern_half_text_odd},
                 {" f16_", tern_half_f16_numbers},
                 {" f16_rows(", tern_half_f16_rows},
                 {" f16_lanes(", tern_half_f16_lanes},
                 {" f16_wide(", tern_half_f16_wide},
                 {" f16_columns(", tern_half_f16_columns},
                 {" bf16_", tern_half_bf16_numbers},
                 {" bf16_rows(", tern_half_bf16_rows},
                 {" bf16_lanes(", tern_half_bf16_lanes},
                 {" bf16_wide(", tern_half_bf16_wide},
                 {" bf16_columns(", tern_half_bf16_columns},
                 {" f32_", tern_half_f32_numbers},
                 {" f32_rows(", tern_half_f32_rows},
                 {" f32_lanes(", tern_half_f32_lanes},
                 {" f32_columns(", tern_half_f32_columns}};

void tern_emit_prelude(const tern_text *bodies, tern_text *code)
{
    for (size_t i = 0; i < TERN_COUNT(functions); i++) {
        bool written = !strstr(bodies->data, functions[i].call);
        for (size_t k = 0; k < i; k++)
            written |= functions[k].text == functions[i].text && strstr(bodies->data, functions[k].call);
        if (!written) tern_text_put(code, functions[i].text);
    }
}
