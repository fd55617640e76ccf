/* What C for nets of 16 bits is made of.  f16 is computed by the processor where it can (Cortex-M55, vectors of it too; RISC-V
 * with Zfh, whose instructions this compiler must be told by their numbers), else in f32 without a second rounding. */
#include "emit/half_text.h"

/* clang-format off */
const char tern_half_text_odd[] =
    TERN_EMIT_BITS
    "/* a + b, cut and its last bit set where that is not exact: rounded again it is as if rounded once. */\n"
    "static inline float odd_sum(float a, float b)\n"
    "{\n"
    "    float sum = a + b, part = sum - a, rest = (a - (sum - part)) + (b - part);\n"
    "    if (!(rest > 0 || rest < 0)) return sum;\n"
    "    uint32_t bits = bits_of(sum);\n"
    "    bits -= (rest < 0) != (sum < 0);\n"
    "    return float_of(bits | 1);\n"
    "}\n"
    "\n";

const char tern_half_f16_numbers[] =
    "static inline float f16_to_float(uint16_t x)\n"
    "{\n"
    "    uint32_t sign = (uint32_t)(x & 0x8000) << 16, magnitude = x & 0x7fff;\n"
    "    if (magnitude >= 0x7c00) return float_of(sign | 0x7f800000 | magnitude << 13);\n"
    "    float small = float_of(magnitude << 13) * 0x1p112f; /* exponents have another zero */\n"
    "    return float_of(sign | bits_of(small));\n"
    "}\n"
    "\n"
    "/* The nearest half. */\n"
    "static inline uint16_t f16_of_float(float x)\n"
    "{\n"
    "    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;\n"
    "    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);\n"
    "    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* rounds above 65504 */\n"
    "    if (magnitude < 0x38800000) /* below 2^-14: the sum aligns and rounds */\n"
    "        return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f)));\n"
    "    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));\n"
    "}\n"
    "\n"
    "#if defined(__ARM_FEATURE_FP16_SCALAR_ARITHMETIC)\n"
    "typedef float f16_number; /* in its low half */\n"
    "static inline f16_number f16_load(uint16_t x)\n"
    "{\n"
    "    return float_of(x);\n"
    "}\n"
    "\n"
    "static inline uint16_t f16_store(f16_number x)\n"
    "{\n"
    "    return (uint16_t)bits_of(x);\n"
    "}\n"
    "\n"
    "static inline f16_number f16_add(f16_number sum, f16_number a, f16_number b)\n"
    "{\n"
    "    __asm__(\"vfma.f16 %0, %1, %2\" : \"+t\"(sum) : \"t\"(a), \"t\"(b));\n"
    "    return sum;\n"
    "}\n"
    "#elif defined(RISCV_ZFH)\n"
    "typedef float f16_number;\n"
    "static inline f16_number f16_load(uint16_t x)\n"
    "{\n"
    "    f16_number y; /* fmv.h.x */\n"
    "    __asm__(\".insn r 0x53, 0, 0x7a, %0, %1, x0\" : \"=f\"(y) : \"r\"(x));\n"
    "    return y;\n"
    "}\n"
    "\n"
    "static inline uint16_t f16_store(f16_number x)\n"
    "{\n"
    "    uint32_t y; /* fmv.x.h */\n"
    "    __asm__(\".insn r 0x53, 0, 0x72, %0, %1, f0\" : \"=r\"(y) : \"f\"(x));\n"
    "    return (uint16_t)y;\n"
    "}\n"
    "\n"
    "static inline f16_number f16_add(f16_number sum, f16_number a, f16_number b)\n"
    "{\n"
    "    f16_number y; /* fmadd.h */\n"
    "    __asm__(\".insn r4 0x43, 7, 2, %0, %1, %2, %3\" : \"=f\"(y) : \"f\"(a), \"f\"(b), \"f\"(sum));\n"
    "    return y;\n"
    "}\n"
    "#else\n"
    "typedef float f16_number;\n"
    "static inline f16_number f16_load(uint16_t x)\n"
    "{\n"
    "    return f16_to_float(x);\n"
    "}\n"
    "\n"
    "static inline uint16_t f16_store(f16_number x)\n"
    "{\n"
    "    return f16_of_float(x);\n"
    "}\n"
    "\n"
    "/* A product of halves is exact in f32.  What is rounded stays f32. */\n"
    "static inline f16_number f16_add(f16_number sum, f16_number a, f16_number b)\n"
    "{\n"
    "    float x = odd_sum(sum, a * b);\n"
    "    uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffff;\n"
    "    if (magnitude >= 0x477ff000 || magnitude < 0x38800000) return f16_to_float(f16_of_float(x));\n"
    "    return float_of((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu);\n"
    "}\n"
    "#endif\n"
    "\n"
    "static inline uint16_t f16_term(uint16_t sum, uint16_t a, uint16_t b)\n"
    "{\n"
    "    return f16_store(f16_add(f16_load(sum), f16_load(a), f16_load(b)));\n"
    "}\n"
    "\n";

const char tern_half_bf16_numbers[] =
    "typedef float bf16_number;\n"
    "static inline float bf16_to_float(uint16_t x)\n"
    "{\n"
    "    return float_of((uint32_t)x << 16);\n"
    "}\n"
    "\n"
    "/* The nearest bf16. */\n"
    "static inline uint16_t bf16_of_float(float x)\n"
    "{\n"
    "    uint32_t bits = bits_of(x);\n"
    "    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);\n"
    "    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);\n"
    "}\n"
    "\n"
    "static inline bf16_number bf16_load(uint16_t x)\n"
    "{\n"
    "    return bf16_to_float(x);\n"
    "}\n"
    "\n"
    "static inline uint16_t bf16_store(bf16_number x)\n"
    "{\n"
    "    return (uint16_t)(bits_of(x) >> 16);\n"
    "}\n"
    "\n"
    "/* Where the product could leave the range of f32: in double. */\n"
    "APART static float bf16_far(float sum, float a, float b)\n"
    "{\n"
    "    double x = sum, y = (double)a * (double)b, all = x + y, part = all - x;\n"
    "    double rest = (x - (all - part)) + (y - part);\n"
    "    uint64_t word;\n"
    "    memcpy(&word, &all, sizeof word);\n"
    "    if (rest > 0 || rest < 0) word = (word - ((rest < 0) != (all < 0))) | 1;\n"
    "    memcpy(&all, &word, sizeof all);\n"
    "    float near = (float)all;\n"
    "    if ((double)near == all || all != all) return near;\n"
    "    uint32_t bits = bits_of(near);\n"
    "    bits -= (near < 0 ? -(double)near : (double)near) > (all < 0 ? -all : all); /* towards 0, and odd */\n"
    "    return float_of(bits | 1);\n"
    "}\n"
    "\n"
    "static inline bf16_number bf16_add(bf16_number sum, bf16_number a, bf16_number b)\n"
    "{\n"
    "    float product = a * b, size = product < 0 ? -product : product;\n"
    "    int near = (size > 0x1p-100f && size < 0x1p126f) || a == 0 || b == 0;\n"
    "    float x = near && sum - sum == 0 ? odd_sum(sum, product) : bf16_far(sum, a, b);\n"
    "    return bf16_to_float(bf16_of_float(x));\n"
    "}\n"
    "\n"
    "static inline uint16_t bf16_term(uint16_t sum, uint16_t a, uint16_t b)\n"
    "{\n"
    "    return bf16_store(bf16_add(bf16_load(sum), bf16_load(a), bf16_load(b)));\n"
    "}\n"
    "\n";

const char tern_half_f32_numbers[] =
    "typedef float f32_number;\n"
    "#define f32_load(x)         (x)\n"
    "#define f32_store(x)        (x)\n"
    "#define f32_add(sum, a, b)  fmaf(a, b, sum)\n"
    "\n";

/* ---- products ---------------------------------------------------------------------------------------------------------- */

/* Rows first .. n - 1 of c[n,m] += a[n,k] b[k,m], one term behind the other. */
#define PLAIN_ROWS(f, type)                                                                                  \
    "    for (int i = first; i < n; i++)\n"                                                                  \
    "        for (int j = 0; j < m; j++) {\n"                                                                \
    "            " f "_number sum = " f "_load(c[i * m + j]);\n"                                             \
    "            const " type " *left = a + i * k, *right = b + j;\n"                                        \
    "            for (int t = 0; t < k; t++, right += m) sum = " f "_add(sum, " f "_load(left[t]), " f       \
    "_load(*right));\n"                                                                                      \
    "            c[i * m + j] = " f "_store(sum);\n"                                                         \
    "        }\n"

/* Vectors of columns, four rows at once: each element of b is loaded once for them.  `wide` is how many an instruction takes. */
#define VECTOR_ROWS(f, type, vector, wide, load, zload, pstore, fma, pred)                                   \
    "#include <arm_mve.h>\n"                                                                                 \
    "typedef " type " __attribute__((may_alias)) " f "_lane;\n"                                              \
    "APART static void " f "_four(int k, int m, int columns, const " f "_lane *a, const " f                  \
    "_lane *b, " f "_lane *c)\n"                                                                             \
    "{\n"                                                                                                    \
    "    const " f "_lane *a1 = a + k, *a2 = a1 + k, *a3 = a2 + k;\n"                                        \
    "    " f "_lane *c1 = c + m, *c2 = c1 + m, *c3 = c2 + m;\n"                                              \
    "    mve_pred16_t some = " pred "((uint32_t)columns);\n"                                                 \
    "    " vector " s = " zload "(c, some), s1 = " zload "(c1, some), s2 = " zload "(c2, some), s3 = " zload \
    "(c3, some);\n"                                                                                          \
    "    if (columns >= " wide ")\n"                                                                         \
    "        for (int t = 0; t < k; t++, b += m) {\n"                                                        \
    "            " vector " each = " load "(b);\n"                                                           \
    "            s = " fma "(s, each, *a++), s1 = " fma "(s1, each, *a1++);\n"                               \
    "            s2 = " fma "(s2, each, *a2++), s3 = " fma "(s3, each, *a3++);\n"                            \
    "        }\n"                                                                                            \
    "    else\n"                                                                                             \
    "        for (int t = 0; t < k; t++, b += m) {\n"                                                        \
    "            " vector " each = " zload "(b, some);\n"                                                    \
    "            s = " fma "(s, each, *a++), s1 = " fma "(s1, each, *a1++);\n"                               \
    "            s2 = " fma "(s2, each, *a2++), s3 = " fma "(s3, each, *a3++);\n"                            \
    "        }\n"                                                                                            \
    "    " pstore "(c, s, some), " pstore "(c1, s1, some), " pstore "(c2, s2, some), " pstore                \
    "(c3, s3, some);\n"                                                                                      \
    "}\n"                                                                                                    \
    "\n"                                                                                                     \
    "APART static void " f "_one(int k, int m, int columns, const " f "_lane *a, const " f "_lane *b, " f    \
    "_lane *c)\n"                                                                                            \
    "{\n"                                                                                                    \
    "    mve_pred16_t some = " pred "((uint32_t)columns);\n"                                                 \
    "    " vector " s = " zload "(c, some);\n"                                                               \
    "    for (int t = 0; t < k; t++, b += m) s = " fma "(s, " zload "(b, some), *a++);\n"                    \
    "    " pstore "(c, s, some);\n"                                                                          \
    "}\n"                                                                                                    \
    "\n"

/* The vectors of a row, then its term by term form for other processors. */
#define ROWS(f, type, guard, vectors, wide)                                                                  \
    "#if " guard "\n" vectors "#endif\n"                                                                     \
    "/* c[n,m] += a[n,k] b[k,m], one term behind the other. */\n"                                            \
    "static void " f "_rows(int n, int k, int m, const " type " *a, const " type " *b, " type " *c)\n"       \
    "{\n"                                                                                                    \
    "    int first = 0;\n"                                                                                   \
    "#if " guard "\n"                                                                                        \
    "    for (; m > 1 && first < n; first += n - first < 4 ? 1 : 4)\n"                                       \
    "        for (int j = 0; j < m; j += " wide ")\n"                                                        \
    "            (n - first < 4 ? " f "_one : " f "_four)(k, m, m - j, (const " f                            \
    "_lane *)a + first * k, (const " f "_lane *)b + j,\n"                                                    \
    "                                           (" f "_lane *)c + first * m + j);\n"                         \
    "#endif\n" PLAIN_ROWS(f, type) "}\n"                                                                     \
    "\n"

const char tern_half_f16_rows[] = ROWS("f16", "uint16_t", "defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)",
                                    VECTOR_ROWS("f16", "float16_t", "float16x8_t", "8", "vldrhq_f16",
                                                "vldrhq_z_f16", "vstrhq_p_f16", "vfmaq_n_f16",
                                                "vctp16q"),
                                    "8");
const char tern_half_bf16_rows[] = ROWS("bf16", "uint16_t", "0", "", "1");
const char tern_half_f32_rows[] = ROWS("f32", "float", "defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)",
                                    VECTOR_ROWS("f32", "float32_t", "float32x4_t", "4", "vldrwq_f32",
                                                "vldrwq_z_f32", "vstrwq_p_f32", "vfmaq_n_f32",
                                                "vctp32q"),
                                    "4");

/* One column, with several sums; on vectors of eight these are its lanes. */
#define LANES(f, type, vectors)                                                                              \
    "/* c[n] += a[n,k] b[k]: term k of whole lanes goes to sum k % lanes; then neighbours are added. */\n"   \
    "static void " f "_lanes(int n, int k, int lanes, const " type " *a, const " type " *b, " type " *c)\n"  \
    "{\n"                                                                                                    \
    "    const int whole = k / lanes * lanes;\n"                                                             \
    "    for (int i = 0; i < n; i++, a += k) {\n"                                                            \
    "        " type " parts[8] = {c[i]};\n"                                                                  \
    "        int t = 0;\n" vectors                                                                           \
    "        for (int l = 0; t < whole && l < lanes; l++) {\n"                                               \
    "            " f "_number sum = " f "_load(parts[l]);\n"                                                 \
    "            for (int u = l; u < whole; u += lanes) sum = " f "_add(sum, " f "_load(a[u]), " f           \
    "_load(b[u]));\n"                                                                                        \
    "            parts[l] = " f "_store(sum);\n"                                                             \
    "        }\n"                                                                                            \
    "        for (int apart = 1; apart < lanes; apart *= 2)\n"                                               \
    "            for (int l = 0; l < lanes; l += 2 * apart)\n"                                               \
    "                parts[l] = " f "_store(" f "_add(" f "_load(parts[l]), " f "_load(parts[l + apart]), " f \
    "_load(ONE_" f ")));\n"                                                                                  \
    "        " f "_number sum = " f "_load(parts[0]);\n"                                                     \
    "        for (t = whole; t < k; t++) sum = " f "_add(sum, " f "_load(a[t]), " f "_load(b[t]));\n"        \
    "        c[i] = " f "_store(sum);\n"                                                                     \
    "    }\n"                                                                                                \
    "}\n"                                                                                                    \
    "\n"
const char tern_half_f16_lanes[] =
    "#define ONE_f16 0x3c00\n"
    "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)\n"
    "#include <arm_mve.h>\n"
    "#endif\n"
    LANES("f16", "uint16_t",
          "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)\n"
          "        if (lanes == 8) {\n"
          "            float16x8_t sum = vreinterpretq_f16_u16(vldrhq_u16(parts));\n"
          "            for (; t < whole; t += 8)\n"
          "                sum = vfmaq_f16(sum, vreinterpretq_f16_u16(vldrhq_u16(a + t)), vreinterpretq_f16_u16(vldrhq_u16(b + t)));\n"
          "            vstrhq_u16(parts, vreinterpretq_u16_f16(sum));\n"
          "        }\n"
          "#endif\n");
const char tern_half_bf16_lanes[] = "#define ONE_bf16 0x3f80\n" LANES("bf16", "uint16_t", "");
const char tern_half_f32_lanes[] = "#define ONE_f32 1.0f\n" LANES("f32", "float", "");

#define WIDE(f)                                                                                              \
    "/* c[n,m] += a[n,k] b[k,m] with sums in f32, rounded at the end. */\n"                                  \
    "static void " f "_wide(int n, int k, int m, int lanes, const uint16_t *a, const uint16_t *b, uint16_t " \
    "*c)\n"                                                                                                  \
    "{\n"                                                                                                    \
    "    const int whole = k / lanes * lanes;\n"                                                             \
    "    for (int i = 0; i < n; i++, a += k)\n"                                                              \
    "        for (int j = 0; j < m; j++, c++) {\n"                                                           \
    "            float parts[8] = {" f "_to_float(*c)};\n"                                                   \
    "            for (int t = 0; t < k; t++) {\n"                                                            \
    "                if (t == whole)\n"                                                                      \
    "                    for (int apart = 1; apart < lanes; apart *= 2)\n"                                   \
    "                        for (int l = 0; l < lanes; l += 2 * apart) parts[l] = parts[l] + parts[l + "    \
    "apart];\n"                                                                                              \
    "                float *sum = &parts[t < whole ? t % lanes : 0];\n"                                      \
    "                *sum = fmaf(" f "_to_float(a[t]), " f "_to_float(b[t * m + j]), *sum);\n"               \
    "            }\n"                                                                                        \
    "            if (whole == k)\n"                                                                          \
    "                for (int apart = 1; apart < lanes; apart *= 2)\n"                                       \
    "                    for (int l = 0; l < lanes; l += 2 * apart) parts[l] = parts[l] + parts[l + "        \
    "apart];\n"                                                                                              \
    "            *c = " f "_of_float(parts[0]);\n"                                                           \
    "        }\n"                                                                                            \
    "}\n"                                                                                                    \
    "\n"
const char tern_half_f16_wide[] = WIDE("f16");
const char tern_half_bf16_wide[] = WIDE("bf16");

/* ---- windows ---------------------------------------------------------------------------------------------------------------- */

#define COLUMNS(f, type)                                                                                     \
    "/* Windows of x as a matrix, rows first .. last - 1.  w: channels, height, width, taps, outputs, strides, dilations, origins, spreads (each y, "  \
    "x).\n * The element along y is that of output * stride + tap * dilation + origin, a multiple of the spread. */\n" \
    "static void " f "_columns(const int *w, int first, int last, const " type " *x, int turned, " type " *to)\n"                 \
    "{\n"                                                                                                    \
    "    const int rows = w[0] * w[3] * w[4], columns = w[5] * w[6];\n"                                      \
    "    const int down = turned ? 1 : columns, across = turned ? rows : 1;\n"                               \
    "    for (int r = first; r < last; r++) {\n"                                                             \
    "        const int tap_x = r % w[4] * w[10] + w[12], tap_y = r / w[4] % w[3] * w[9] + w[11];\n"          \
    "        const " type " *plane = x + r / (w[3] * w[4]) * w[1] * w[2];\n"                                 \
    "        " type " *put = to + r * down;\n"                                                               \
    "        for (int oy = 0; oy < w[5]; oy++) {\n"                                                          \
    "            const int y = oy * w[7] + tap_y, in_y = y >= 0 && y % w[13] == 0 && y / w[13] < w[1];\n"    \
    "            const " type " *line = plane + (in_y ? y / w[13] * w[2] : 0);\n"                            \
    "            int q = tap_x;\n"                                                                           \
    "            for (int ox = 0; ox < w[6]; ox++, q += w[8], put += across)\n"                              \
    "                *put = in_y && q >= 0 && q % w[14] == 0 && q / w[14] < w[2] ? line[q / w[14]] : 0;\n"   \
    "        }\n"                                                                                            \
    "    }\n"                                                                                                \
    "}\n"                                                                                                    \
    "\n"
const char tern_half_f16_columns[] = COLUMNS("f16", "uint16_t");
const char tern_half_bf16_columns[] = COLUMNS("bf16", "uint16_t");
const char tern_half_f32_columns[] = COLUMNS("f32", "float");
/* clang-format on */
