/* KANN's side of mlp-dense-vs-kann: 784-512-512-10, ReLU, cross-entropy, batch 128, RMSprop (its own optimiser), the loop
 * body of its kann_train_fnn1.  Speaks the protocol of bench/snn.c.  Built by bench/setup-peers against a checkout of
 * github.com/attractivechaos/kann, with OpenBLAS; THREADS are KANN's own. */
#include "kann.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IN = 784, HIDDEN = 512, OUT = 10, BATCH = 128 };

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    kad_node_t *t = kann_layer_input(IN);
    t = kad_relu(kann_layer_dense(t, HIDDEN));
    t = kad_relu(kann_layer_dense(t, HIDDEN));
    kann_t *net = kann_new(kann_layer_cost(t, OUT, KANN_C_CEM), 0);
    float *x = calloc(BATCH * IN, sizeof *x), *y = calloc(BATCH * OUT, sizeof *y);
    float *square = calloc((size_t)kann_size_var(net), sizeof *square), cost = 0;
    if (!net || !x || !y || !square) return 1;
    kann_srand(7);
    for (int i = 0; i < BATCH * IN; i++) x[i] = (float)kann_drand();
    for (int i = 0; i < BATCH; i++) y[i * OUT + i % OUT] = 1;
    kann_mt(net, threads, BATCH);
    kann_set_batch_size(net, BATCH);
    kann_feed_bind(net, KANN_F_IN, 0, &x);
    kann_feed_bind(net, KANN_F_TRUTH, 0, &y);
    kann_switch(net, 1);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        int count = strncmp(line, "run ", 4) == 0 ? atoi(line + 4) : 0;
        double begun = now();
        for (int i = 0; i < count; i++) {
            cost = kann_cost(net, 0, 1);
            kann_RMSprop(kann_size_var(net), 1e-3f, 0, 0.9f, net->g, net->x, square);
        }
        if (count)
            printf("%.6f\n", 1e3 * (now() - begun) / count);
        else
            printf("loss %.5f densities\n", (double)cost);
        fflush(stdout);
    }
    return 0;
}
