/* Phi-3 (arXiv 2404.14219): Llama with queries, keys and values in one product, gate and up in another, and, in the versions for
 * long texts, angles divided by one of two lists. */
#include "language.h"

TERN_ARCHITECTURE(phi3, "Phi-3", NULL, build_llama);
