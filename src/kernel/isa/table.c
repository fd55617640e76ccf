/* The table of this instruction set. */
#include "kernel/isa/blocks.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

extern const tern_kernels TERN_FOR_ISA(tern_table);
extern const struct tern_loops TERN_FOR_ISA(tern_loops);
extern const struct tern_rows TERN_FOR_ISA(tern_rows);
extern const struct tern_casts TERN_FOR_ISA(tern_casts);
extern const struct tern_peak TERN_FOR_ISA(tern_peak);
extern const tern_int8_loops TERN_FOR_ISA(tern_int8_loops);
#if defined(__AVX512F__)
tern_half_rows TERN_FOR_ISA(tern_half_rows_of);
#endif

/* With -DTERN_AMX: the loops of AVX-512, and tiles for products with many rows. */
#if defined(TERN_AMX)
extern tern_packed_block *const tern_tile_blocks[];
tern_packed_split tern_many_split;
extern tern_packed_many_block *const tern_many_blocks[];
tern_attention_block tern_attention_on_tiles;
extern const struct tern_peak tern_peak_amx;
const tern_kernels tern_table_amx = {
    .name = "amx",
    .packed_block = tern_tile_blocks,
    .many_block = tern_many_blocks,
    .many_split = tern_many_split,
    .attention_tiles = tern_attention_on_tiles,
    .block_from = 5,
#else
const tern_kernels TERN_FOR_ISA(tern_table) = {
    .name = TEXT(TERN_ISA),
    .packed_block = TERN_FOR_ISA(tern_packed_blocks),
    .block_from = 12,
#endif
    .loops = &TERN_FOR_ISA(tern_loops),
    .rows = &TERN_FOR_ISA(tern_rows),
    .casts = &TERN_FOR_ISA(tern_casts),
#if defined(TERN_AMX)
    .peak = &tern_peak_amx,
#else
    .peak = &TERN_FOR_ISA(tern_peak),
#endif
    .int8 = &TERN_FOR_ISA(tern_int8_loops),
    .tile_rows = TERN_TILE_ROWS,
    .tile_columns = 2 * TERN_LANES,
    .tile = TERN_FOR_ISA(tern_tiles),
    .half_tile = TERN_FOR_ISA(tern_half_tiles),
    .pack = TERN_FOR_ISA(tern_pack_panel),
    .turn = TERN_FOR_ISA(tern_turn),
    .sum_few = TERN_FOR_ISA(tern_sum_few),
    .binary_tile = TERN_FOR_ISA(tern_binary_tiles),
    .i8_tile = TERN_FOR_ISA(tern_i8_tiles),
    .pack_binary = TERN_FOR_ISA(tern_pack_binary),
    .pack_i8 = TERN_FOR_ISA(tern_pack_i8),
    .i8_per_word = TERN_I8_PER_WORD,
    .list_bits = TERN_FOR_ISA(tern_list_bits),
    .add_listed = TERN_FOR_ISA(tern_add_listed),
    .add_rows = TERN_FOR_ISA(tern_add_rows),
    .element = TERN_FOR_ISA(tern_element_loops),
    .store_far = TERN_FOR_ISA(tern_store_far),
    .list_positions = TERN_FOR_ISA(tern_list_positions),
    .taps = TERN_TAPS,
    .spread = TERN_FOR_ISA(tern_spreads),
    .gather = TERN_FOR_ISA(tern_gathers),
    .winograd_weights = TERN_FOR_ISA(tern_winograd_weights),
    .winograd_input = TERN_FOR_ISA(tern_winograd_input),
    .winograd_output = TERN_FOR_ISA(tern_winograd_output),
    .winograd_product = TERN_FOR_ISA(tern_winograd_products),
    .sparse_below = {TERN_SPARSE_BELOW},
    .packed_dot = TERN_FOR_ISA(tern_packed_dots),
    .round_row = TERN_FOR_ISA(tern_round_row),
    .byte_dot = TERN_FOR_ISA(tern_byte_dot_of),
    .float_dot = TERN_FOR_ISA(tern_float_dot),
#if defined(__AVX2__)
    .half_dot = TERN_FOR_ISA(tern_half_dot),
    .level_dot = TERN_FOR_ISA(tern_level_dot),
#endif
    .attention_head = TERN_FOR_ISA(tern_attention_head),
    .plane_forward = TERN_FOR_ISA(tern_plane_forward),
    .plane_grad_input = TERN_FOR_ISA(tern_plane_grad_input),
    .plane_grad_weight = TERN_FOR_ISA(tern_plane_grad_weight),
    .packed_few = TERN_FOR_ISA(tern_packed_fews),
    .attention_block = TERN_FOR_ISA(tern_attention_block),
    .attention_lanes = TERN_LANES,
#if defined(__AVX512F__)
    .half_rows = TERN_FOR_ISA(tern_half_rows_of),
#endif
};
