/* video-moving: garments of Fashion-MNIST glide in one of eight directions over a still textured background: clips of 16
 * grey frames 64x64.  The class is the garment's. */
#include "io/dataset.h"
#include "io/scene.h"

#include <math.h>
#include <string.h>

#define SIDE   64
#define FRAMES 16
#define GRID   9 /* nodes of the texture's coarse lattice */

/* Smooth noise: values of a lattice of 8 pixels, and half as much of one of 2 pixels. */
static void paint_texture(tern_rng rng, uint8_t *out)
{
    double lattice[GRID * GRID], fine[SIDE * SIDE / 4];
    for (int i = 0; i < GRID * GRID; i++) lattice[i] = tern_rng_uniform(rng, 64 + (uint64_t)i);
    for (int i = 0; i < SIDE * SIDE / 4; i++) fine[i] = tern_rng_uniform(rng, 1024 + (uint64_t)i);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const double *corner = &lattice[y / 8 * GRID + x / 8];
            double v = y % 8 / 8.0, u = x % 8 / 8.0, above = (1 - u) * corner[0] + u * corner[1],
                   below = (1 - u) * corner[GRID] + u * corner[GRID + 1];
            out[y * SIDE + x] =
                (uint8_t)(20 + 60 * ((1 - v) * above + v * below) + 30 * fine[y / 2 * SIDE / 2 + x / 2]);
        }
    }
}

/* A garment covers what is behind it; its dark rim lets it shine through. */
static void draw(void *context, int64_t pixel, float value)
{
    uint8_t *p = (uint8_t *)context + pixel;
    float cover = value < 64 ? value / 64 : 1;
    *p = (uint8_t)(cover * value + (1 - cover) * *p + 0.5f);
}

static void make_clip(const uint8_t *picture, tern_rng rng, int direction, int steps, uint8_t *out)
{
    paint_texture(rng, out);
    for (int t = 1; t < steps; t++) memcpy(out + t * SIDE * SIDE, out, SIDE * SIDE);
    double angle = direction * 3.14159265358979 / 4,
           way = 16 + 12 * tern_rng_uniform(rng, 0); /* pixels in a clip */
    double x = SIDE / 2.0 + 8 * (tern_rng_uniform(rng, 1) - 0.5),
           y = SIDE / 2.0 + 8 * (tern_rng_uniform(rng, 2) - 0.5);
    int whole =
        steps > FRAMES ? steps : FRAMES; /* fewer frames are the middle of the way, not a faster one */
    for (int t = 0; t < steps; t++) {
        double part = way * ((t + (whole - steps) / 2) / (double)(whole - 1) - 0.5);
        tern_pose pose = {x + cos(angle) * part, y + sin(angle) * part, 1, 0};
        tern_scene_place(picture, 28, 28, &pose, SIDE, SIDE, draw, out + t * SIDE * SIDE);
    }
}

static tern_status make_split(const tern_split *garments, const tern_dataset_options *o, int clips,
                              uint64_t stream, tern_split *out)
{
    int steps = o->timesteps ? o->timesteps : FRAMES;
    if (clips > garments->labels.shape.dim[0]) clips = (int)garments->labels.shape.dim[0];
    TERN_TRY(tern_tensor_new(&out->images, TERN_U8, &TERN_SHAPE(clips, steps, 1, SIDE, SIDE)));
    TERN_TRY(tern_tensor_new(&out->labels, TERN_I32, &TERN_SHAPE(clips)));
    for (int i = 0; i < clips; i++) {
        tern_rng rng = {o->seed, stream + (uint64_t)i};
        make_clip((const uint8_t *)garments->images.data + (size_t)i * 28 * 28, rng, i % 8, steps,
                  (uint8_t *)out->images.data + (size_t)i * (size_t)steps * SIDE * SIDE);
    }
    memcpy(out->labels.data, garments->labels.data, (size_t)clips * sizeof(int32_t));
    return TERN_OK;
}

tern_status tern_load_video(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    tern_dataset garments = {0};
    tern_status status = tern_load_garments(&garments, path);
    int train = options->train_limit ? options->train_limit : 4000,
        test = options->test_limit ? options->test_limit : 800;
    if (status == TERN_OK) status = make_split(&garments.train, options, train, 3u << 30, &dataset->train);
    if (status == TERN_OK) status = make_split(&garments.test, options, test, 4ull << 30, &dataset->test);
    tern_dataset_close(&garments);
    return status;
}
