/* The probe's kernels in OpenCL C.  Each isolates one thing and repeats it `times` times; results go out, so that nothing is left
 * out.  Chains are independent of each other where a rate is measured, and one where a latency is. */
#ifndef TERN_MACHINE_OPENCL_KERNELS_H
#define TERN_MACHINE_OPENCL_KERNELS_H

/* TYPE of 16 lanes (8 of f64), ITEM its name. */
#define TERN_OPENCL_RATE(ITEM, TYPE, STEP)                                                                   \
    "kernel void rate_" ITEM "(global uint *out, uint times, uint seed) {\n"                                 \
    "  " TYPE " s0 = (" TYPE ")(seed + get_global_id(0)), s1 = s0 + 1, s2 = s0 + 2, s3 = s0 + 3;\n"          \
    "  " TYPE " s4 = s0 + 4, s5 = s0 + 5, s6 = s0 + 6, s7 = s0 + 7, a = (" TYPE ")seed, b = a + 1;\n"        \
    "  for (uint i = 0; i < times; i++) {\n" STEP("s0") STEP("s1") STEP("s2") STEP("s3") STEP("s4")          \
        STEP("s5") STEP("s6") STEP("s7") "  }\n"                                                             \
                                         "  s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7;\n"                       \
                                         "  out[get_global_id(0)] = (uint)s0.s0 + (uint)s0.s7;\n}\n"
#define TERN_OPENCL_FMA(s) "    " s " = fma(" s ", a, b);\n"
#define TERN_OPENCL_MAC(s) "    " s " = " s " * a + b;\n"

static const char tern_opencl_f64[] =
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" TERN_OPENCL_RATE("f64", "double8", TERN_OPENCL_FMA);

static const char tern_opencl_kernels[] =
    TERN_OPENCL_RATE("f32", "float16", TERN_OPENCL_FMA) TERN_OPENCL_RATE("i32", "uint16", TERN_OPENCL_MAC)
    /* one chain of one work-item */
    "kernel void latency_f32(global float *out, uint times, float a) {\n"
    "  float s = a;\n"
    "  for (uint i = 0; i < times; i++)\n"
    "    s = fma(fma(fma(fma(fma(fma(fma(fma(s, a, a), a, a), a, a), a, a), a, a), a, a), a, a), a, a);\n"
    "  *out = s;\n}\n"
    /* a random cycle, one work-item */
    "kernel void walk(global uint *out, uint times, global const uint *next) {\n"
    "  uint at = 0;\n"
    "  for (uint i = 0; i < times; i++) at = next[at];\n"
    "  *out = at;\n}\n"
    "kernel void walk_local(global uint *out, uint times, uint count, local uint *next) {\n"
    "  for (uint i = 0; i < count; i++) next[i] = (i + 17) % count;\n"
    "  uint at = 0;\n"
    "  for (uint i = 0; i < times; i++) at = next[at];\n"
    "  *out = at;\n}\n"
    /* item i takes `count` vectors of 16 bytes from i `first` on, each `step` behind the one before: neighbours side by side where
     * items run at once, a piece each where they run one behind the other */
    "kernel void read(global uint *out, uint times, global const uint4 *x, uint first, uint step, uint "
    "count) {\n"
    "  uint4 sum = 0;\n"
    "  x += get_global_id(0) * first;\n"
    "  for (uint r = 0; r < times; r++)\n"
    "    for (uint i = 0; i < count; i++) sum ^= x[i * step] + r;\n"
    "  out[get_global_id(0)] = sum.x ^ sum.y ^ sum.z ^ sum.w;\n}\n"
    "kernel void write(global uint *out, uint times, global uint4 *x, uint first, uint step, uint count) {\n"
    "  x += get_global_id(0) * first;\n"
    "  for (uint r = 0; r < times; r++)\n"
    "    for (uint i = 0; i < count; i++) x[i * step] = r;\n"
    "  out[get_global_id(0)] = times;\n}\n"
    "kernel void copy(global uint *out, uint times, global uint4 *x, uint first, uint step, uint count) {\n"
    "  x += get_global_id(0) * first;\n"
    "  global uint4 *to = x + count / 2 * step;\n"
    "  for (uint r = 0; r < times; r++)\n"
    "    for (uint i = 0; i < count / 2; i++) to[i * step] = x[i * step];\n"
    "  out[get_global_id(0)] = times;\n}\n"
    /* each group reads its own local memory again and again */
    "kernel void read_local(global uint *out, uint times, uint count, local uint4 *x) {\n"
    "  uint at = get_local_id(0), step = get_local_size(0);\n"
    "  for (uint i = at; i < count; i += step) x[i] = i;\n"
    "  barrier(CLK_LOCAL_MEM_FENCE);\n"
    "  uint4 sum = 0;\n"
    "  for (uint r = 0; r < times; r++)\n"
    "    for (uint i = at; i < count; i += step) sum ^= x[i] + r;\n"
    "  out[get_global_id(0)] = sum.x ^ sum.y ^ sum.z ^ sum.w;\n}\n"
    "kernel void nothing(global uint *out, uint times) { if (times == 0xffffffff) *out = times; }\n";

/* c = a b of `size` a side: a group has 64 x 64 of c, an item 4 x 4, and 16 of the sums at a time in local memory. */
static const char tern_opencl_gemm[] =
    "kernel __attribute__((reqd_work_group_size(16, 16, 1)))\n"
    "void gemm(global float *c, uint times, global const float *a, global const float *b, uint size) {\n"
    "  local float4 near_a[16 * 16], near_b[16 * 16];\n"
    "  uint x = get_local_id(0), y = get_local_id(1);\n"
    "  uint row = get_group_id(1) * 64, column = get_group_id(0) * 64;\n"
    "  for (uint r = 0; r < times; r++) {\n"
    "    float4 s0 = 0, s1 = 0, s2 = 0, s3 = 0;\n"
    "    for (uint k = 0; k < size; k += 16) {\n"
    "      global const float *from = a + (row + 4 * x) * size + k + y;\n"
    "      near_a[16 * y + x] = (float4)(from[0], from[size], from[2 * size], from[3 * size]);\n"
    "      near_b[16 * y + x] = vload4(0, b + (k + y) * size + column + 4 * x);\n"
    "      barrier(CLK_LOCAL_MEM_FENCE);\n"
    "      for (uint i = 0; i < 16; i++) {\n"
    "        float4 p = near_a[16 * i + y], q = near_b[16 * i + x];\n"
    "        s0 += p.x * q; s1 += p.y * q; s2 += p.z * q; s3 += p.w * q;\n"
    "      }\n"
    "      barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "    global float *to = c + (row + 4 * y) * size + column + 4 * x;\n"
    "    vstore4(s0, 0, to); vstore4(s1, 0, to + size);\n"
    "    vstore4(s2, 0, to + 2 * size); vstore4(s3, 0, to + 3 * size);\n"
    "  }\n}\n";

#endif
