/* Batches, one ahead: a thread fills the next one while the caller computes on the last one. */
#include "train/train.h"

#include <pthread.h>
#include <string.h>

struct tern_loader {
    tern_samples samples;
    tern_loader_options options;
    int64_t count, channels, height, width, frames; /* frames: T where time is first, else 1 */
    int batches;
    uint32_t *order;
    tern_batch buffers[2];
    tern_rng rng; /* of this epoch's augmentation */
    /* The next two fields belong to whoever holds the lock; `filled` says whose turn it is. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    int next, wanted; /* batches handed out; batch that the thread shall fill (-1: none) */
    bool filled, closing, started;
};

/* One pixel row of a sample, normalised. */
static void copy_row(const tern_loader *l, int64_t at, int64_t channel, int64_t width, int64_t step,
                     float *out)
{
    double std = l->samples.std[channel & 7], mean = l->samples.mean[channel & 7];
    double scale = 1 / (std > 0 ? std : 1);
    if (l->samples.images.dtype == TERN_U8) {
        const uint8_t *p = (const uint8_t *)l->samples.images.data + at;
        for (int64_t x = 0; x < width; x++) out[x] = (float)((p[x * step] / 255.0 - mean) * scale);
    } else {
        const float *p = (const float *)l->samples.images.data + at;
        for (int64_t x = 0; x < width; x++) out[x] = (float)((p[x * step] - mean) * scale);
    }
}

/* Plane c of the sample in slot i of the batch: [batch,channels,H,W], or [T,batch,channels/T,H,W]. */
static float *plane_of(const tern_loader *l, float *images, int64_t i, int64_t c)
{
    int64_t each = l->channels / l->frames;
    return images + ((c / each * l->options.batch + i) * each + c % each) * l->height * l->width;
}

/* Sample `index` into slot i of `images`, shifted and mirrored; what comes from outside is a zero pixel. */
static void copy_sample(const tern_loader *l, uint32_t index, int64_t slot, int64_t i, float *images)
{
    uint32_t dice[4];
    tern_rng_block(l->rng, (uint64_t)slot, dice);
    int64_t h = l->height, w = l->width, pad = l->options.crop, dx = 0, dy = 0;
    bool flip = l->options.flip && (dice[0] & 1);
    if (pad > 0) {
        dx = (int64_t)(dice[1] % (uint32_t)(2 * pad + 1)) - pad;
        dy = (int64_t)(dice[2] % (uint32_t)(2 * pad + 1)) - pad;
    }
    for (int64_t c = 0; c < l->channels; c++) {
        int64_t plane = (index * l->channels + c) * h * w;
        double std = l->samples.std[c & 7];
        float *out = plane_of(l, images, i, c);
        float outside = (float)(-l->samples.mean[c & 7] / (std > 0 ? std : 1));
        for (int64_t y = 0; y < h; y++) {
            float *row = out + y * w;
            int64_t from_y = y + dy, lo = dx < 0 ? -dx : 0, hi = dx > 0 ? w - dx : w;
            if (from_y < 0 || from_y >= h) lo = hi = w;
            for (int64_t x = 0; x < lo; x++) row[x] = outside;
            for (int64_t x = hi; x < w; x++) row[x] = outside;
            if (hi <= lo) continue;
            int64_t begin = plane + from_y * w;
            if (flip)
                copy_row(l, begin + w - 1 - (lo + dx), c, hi - lo, -1, row + lo);
            else
                copy_row(l, begin + lo + dx, c, hi - lo, 1, row + lo);
        }
    }
}

static void fill(tern_loader *l, int number, tern_batch *b)
{
    int64_t first = (int64_t)number * l->options.batch;
    b->count = (int)(l->count - first < l->options.batch ? l->count - first : l->options.batch);
    const int32_t *labels = l->samples.labels.data;
    const float *targets = l->samples.targets.data;
    size_t each = (size_t)tern_target_count(&l->samples);
    for (int i = 0; i < l->options.batch; i++) {
        b->labels[i] = -1;
        if (i >= b->count) {
            if (each) memset(b->targets + (size_t)i * each, 0, each * sizeof *targets);
            for (int64_t c = 0; c < l->channels; c++)
                memset(plane_of(l, b->images, i, c), 0, (size_t)(l->height * l->width) * sizeof *b->images);
            continue;
        }
        b->index[i] = l->order[first + i];
        b->labels[i] = labels[b->index[i]];
        if (each) memcpy(b->targets + (size_t)i * each, targets + b->index[i] * each, each * sizeof *targets);
        copy_sample(l, b->index[i], first + i, i, b->images);
    }
}

static void *loader_main(void *argument)
{
    tern_loader *l = argument;
    pthread_mutex_lock(&l->lock);
    while (!l->closing) {
        if (l->wanted < 0 || l->filled) {
            pthread_cond_wait(&l->change, &l->lock);
            continue;
        }
        int number = l->wanted;
        pthread_mutex_unlock(&l->lock);
        fill(l, number, &l->buffers[number & 1]);
        pthread_mutex_lock(&l->lock);
        l->filled = true;
        pthread_cond_broadcast(&l->change);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static tern_status check(const tern_samples *s)
{
    const tern_shape *x = &s->images.shape, *y = &s->labels.shape;
    char a[96], b[96];
    if (x->rank < 2 || y->rank != 1 || x->dim[0] != y->dim[0])
        return tern_fail(TERN_FAILED, "data: images %s and labels %s do not belong together",
                         tern_shape_text(a, x), tern_shape_text(b, y));
    if ((s->images.dtype != TERN_U8 && s->images.dtype != TERN_F32) || s->labels.dtype != TERN_I32)
        return tern_fail(TERN_FAILED, "data: images are %s and labels %s; expected u8 or f32, and i32",
                         tern_dtype_of(s->images.dtype)->name, tern_dtype_of(s->labels.dtype)->name);
    const tern_tensor *t = &s->targets;
    if (!t->data) return TERN_OK;
    if (t->dtype != TERN_F32 || t->shape.rank != 2 || t->shape.dim[0] != x->dim[0] ||
        s->units.dtype != TERN_F32 || tern_elements(&s->units.shape) != t->shape.dim[1])
        return tern_fail(TERN_FAILED,
                         "data: targets are %s of %s and units %s: expected f32 [N,K] and f32 [K]",
                         tern_dtype_of(t->dtype)->name, tern_shape_text(a, &t->shape),
                         tern_shape_text(b, &s->units.shape));
    return TERN_OK;
}

tern_samples tern_samples_of(const tern_dataset *dataset, bool train)
{
    const tern_split *split = train ? &dataset->train : &dataset->test;
    tern_samples s = {.images = split->images,
                      .labels = split->labels,
                      .targets = split->targets,
                      .units = dataset->units,
                      .places = dataset->places,
                      .classes = dataset->classes};
    memcpy(s.mean, dataset->mean, sizeof s.mean);
    memcpy(s.std, dataset->std, sizeof s.std);
    return s;
}

int tern_target_count(const tern_samples *samples)
{
    return samples->targets.data ? (int)samples->targets.shape.dim[1] : 0;
}

static tern_status open_buffers(tern_loader *l)
{
    size_t batch = (size_t)l->options.batch, size = (size_t)(l->channels * l->height * l->width);
    l->order = tern_take_array((size_t)l->count + 1, sizeof *l->order);
    for (int i = 0; i < 2; i++) {
        l->buffers[i].images = tern_take_array(batch * size, sizeof(float));
        l->buffers[i].labels = tern_take_array(batch, sizeof(int32_t));
        l->buffers[i].index = tern_take_array(batch, sizeof(uint32_t));
        size_t targets = batch * (size_t)tern_target_count(&l->samples);
        if (targets) l->buffers[i].targets = tern_take_array(targets, sizeof(float));
        if (targets && !l->buffers[i].targets) return tern_no_memory(targets * sizeof(float), "batches");
        if (!l->order || !l->buffers[i].images || !l->buffers[i].labels || !l->buffers[i].index)
            return tern_no_memory(batch * size * sizeof(float), "batches");
    }
    return TERN_OK;
}

tern_status tern_loader_open(tern_loader **loader, const tern_samples *samples,
                             const tern_loader_options *options)
{
    TERN_TRY(check(samples));
    const tern_shape *x = &samples->images.shape;
    tern_loader *l = tern_take(sizeof *l);
    if (!l) return tern_no_memory(sizeof *l, "a data loader");
    l->samples = *samples;
    l->options = *options;
    l->count = x->dim[0];
    l->width = x->dim[x->rank - 1];
    l->height = x->rank > 2 ? x->dim[x->rank - 2] : 1;
    l->channels = x->rank > 3 ? tern_elements_from(x, 1) / (l->width * l->height) : 1;
    l->frames = options->time_first && x->rank > 3 ? x->dim[1] : 1;
    int64_t batches =
        options->drop_last ? l->count / options->batch : (l->count + options->batch - 1) / options->batch;
    l->batches = (int)batches;
    l->wanted = -1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->change, NULL);
    tern_status status = open_buffers(l);
    if (status == TERN_OK && pthread_create(&l->thread, NULL, loader_main, l) != 0)
        status = tern_fail(TERN_FAILED, "cannot start the data thread");
    if (status != TERN_OK) {
        tern_loader_close(l);
        return status;
    }
    l->started = true;
    *loader = l;
    return TERN_OK;
}

void tern_loader_close(tern_loader *loader)
{
    if (!loader) return;
    if (loader->started) {
        pthread_mutex_lock(&loader->lock);
        loader->closing = true;
        pthread_cond_broadcast(&loader->change);
        pthread_mutex_unlock(&loader->lock);
        pthread_join(loader->thread, NULL);
    }
    pthread_cond_destroy(&loader->change);
    pthread_mutex_destroy(&loader->lock);
    for (int i = 0; i < 2; i++) {
        tern_release(loader->buffers[i].images);
        tern_release(loader->buffers[i].labels);
        tern_release(loader->buffers[i].index);
        tern_release(loader->buffers[i].targets);
    }
    tern_release(loader->order);
    tern_release(loader);
}

int tern_loader_batches(const tern_loader *loader)
{
    return loader->batches;
}

/* Ask the thread for a batch; the caller holds the lock. */
static void ask(tern_loader *l, int number)
{
    l->wanted = number < l->batches ? number : -1;
    l->filled = false;
    pthread_cond_broadcast(&l->change);
}

void tern_loader_begin(tern_loader *loader, int epoch, int first)
{
    pthread_mutex_lock(&loader->lock);
    while (loader->wanted >= 0 && !loader->filled) pthread_cond_wait(&loader->change, &loader->lock);
    for (int64_t i = 0; i < loader->count; i++) loader->order[i] = (uint32_t)i;
    tern_rng order = {loader->options.seed, 2 * (uint64_t)epoch + 1};
    if (loader->options.shuffle) tern_rng_permute(order, loader->order, (size_t)loader->count);
    loader->rng = (tern_rng){loader->options.seed, 2 * (uint64_t)epoch + 2};
    loader->next = first;
    ask(loader, first);
    pthread_mutex_unlock(&loader->lock);
}

const tern_batch *tern_loader_next(tern_loader *loader)
{
    if (loader->next >= loader->batches) return NULL;
    pthread_mutex_lock(&loader->lock);
    while (!loader->filled) pthread_cond_wait(&loader->change, &loader->lock);
    const tern_batch *batch = &loader->buffers[loader->next & 1];
    loader->next++;
    ask(loader, loader->next); /* fills the other buffer; this one stays the caller's */
    pthread_mutex_unlock(&loader->lock);
    return batch;
}
