/* Between the files that make a net of bytes learn. */
#ifndef TERN_QUANT_LEARN_H
#define TERN_QUANT_LEARN_H

#include "quant/quant.h"

/* What of a product learns. */
typedef struct tern_int8_choice {
    bool bias, depthwise;
    bool whole;               /* all channels */
    int64_t chosen, channels; /* input channels (depthwise: channels) whose weights learn, of all; 0: none */
} tern_int8_choice;

bool tern_int8_is_product(const tern_node *node);
int tern_int8_products(const tern_graph *graph);
/* Whether all layers that a plan names are there. */
tern_status tern_int8_check_plan(const tern_graph *graph, const tern_int8_update_plan *plan);
/* Of the product-th of so many products of an inference graph. */
tern_int8_choice tern_int8_choice_of(const tern_graph *graph, const tern_node *node, int product,
                                     int products, const tern_int8_update_plan *plan);

#endif
