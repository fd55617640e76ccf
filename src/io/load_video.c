/* video-moving: garments of Fashion-MNIST glide in one of eight directions over a still background, which is pieced
 * together of other garments, by a quarter to half a pixel a frame: clips of 16 grey frames 64x64.  The class is the garment's. */
#include "io/dataset.h"
#include "io/scene.h"

#include <math.h>
#include <string.h>

#define SIDE    64
#define FRAMES  16
#define GARMENT 28
#define PATCH   16 /* side of a square of the background */

static const uint8_t *picture_of(const tern_split *garments, int64_t which)
{
    return (const uint8_t *)garments->images.data + which * GARMENT * GARMENT;
}

/* A square of a garment, in a light of its own. */
static void paint_patch(const tern_split *garments, tern_rng rng, uint64_t draw, uint8_t *out)
{
    int64_t which = (int64_t)(tern_rng_uniform(rng, draw) * (double)garments->labels.shape.dim[0]);
    int top = (int)(tern_rng_uniform(rng, draw + 1) * (GARMENT - PATCH + 1)),
        left = (int)(tern_rng_uniform(rng, draw + 2) * (GARMENT - PATCH + 1));
    double light = 0.5 + 0.5 * tern_rng_uniform(rng, draw + 3);
    const uint8_t *from = picture_of(garments, which) + top * GARMENT + left;
    for (int y = 0; y < PATCH; y++)
        for (int x = 0; x < PATCH; x++) out[y * SIDE + x] = (uint8_t)(light * from[y * GARMENT + x]);
}

/* What is behind is made of pieces of what is before: no look at a few pixels tells the one from the other, only that it stands
 * still does, as with what cameras see. */
static void paint_texture(const tern_split *garments, tern_rng rng, uint8_t *out)
{
    enum { ACROSS = SIDE / PATCH };
    for (int i = 0; i < ACROSS * ACROSS; i++)
        paint_patch(garments, rng, 64 + 4 * (uint64_t)i,
                    out + i / ACROSS * PATCH * SIDE + i % ACROSS * PATCH);
}

/* A garment covers what is behind it; its dark rim lets it shine through. */
static void draw(void *context, int64_t pixel, float value)
{
    uint8_t *p = (uint8_t *)context + pixel;
    float cover = value < 64 ? value / 64 : 1;
    *p = (uint8_t)(cover * value + (1 - cover) * *p + 0.5f);
}

static void make_clip(const tern_split *garments, int which, tern_rng rng, int direction, int steps,
                      uint8_t *out)
{
    paint_texture(garments, rng, out);
    for (int t = 1; t < steps; t++) memcpy(out + t * SIDE * SIDE, out, SIDE * SIDE);
    double angle = direction * 3.14159265358979 / 4,
           way = 4 + 4 * tern_rng_uniform(rng, 0); /* pixels in a clip */
    double x = SIDE / 2.0 + 8 * (tern_rng_uniform(rng, 1) - 0.5),
           y = SIDE / 2.0 + 8 * (tern_rng_uniform(rng, 2) - 0.5);
    int whole = steps > FRAMES ? steps : FRAMES; /* fewer frames are a part of the way, not a faster one .. */
    int start = (int)((whole - steps + 1) * tern_rng_uniform(rng, 3)); /* .. any part */
    for (int t = 0; t < steps; t++) {
        double part = way * ((t + start) / (double)(whole - 1) - 0.5);
        tern_pose pose = {x + cos(angle) * part, y + sin(angle) * part, 1, 0};
        tern_scene_place(picture_of(garments, which), GARMENT, GARMENT, &pose, SIDE, SIDE, draw,
                         out + t * SIDE * SIDE);
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
        make_clip(garments, i, rng, i % 8, steps,
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
