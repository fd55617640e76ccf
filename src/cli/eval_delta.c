/* tern eval --delta: a net with delta layers over clips or a video, multiplying what changes, and what that saves. */
#include "cli/eval.h"

#include <string.h>

static tern_delta_net_options options_of(const tern_cli *cli, int batch)
{
    return (tern_delta_net_options){.batch = batch,
                                    .form = {.integer = strcmp(tern_cli_text(cli, "weights"), "i8") == 0,
                                             .dense = tern_cli_has(cli, "dense")},
                                    .resync = tern_cli_whole(cli, "resync"),
                                    .measure = true};
}

/* Sums over layers, as a layer of their own. */
static tern_delta_layer sum_of(const tern_delta_layer *layers, int count)
{
    tern_delta_layer all = {.layer = "all", .delta = ""};
    for (int i = 0; i < count; i++) {
        all.neurons += layers[i].neurons;
        all.levels += layers[i].levels;
        all.changes += layers[i].changes;
        all.dense += layers[i].dense;
        all.spatial += layers[i].spatial;
        all.needed += layers[i].needed;
        all.multiplications += layers[i].multiplications;
        all.state_bytes += layers[i].state_bytes;
    }
    return all;
}

static void add_row(tern_grid *t, const tern_delta_layer *l, double frames)
{
    char dense[24], done[24], bytes[24];
    tern_grid_row(t, "%s|%.0f|%.4f|%.4f|%s|%s|%.4f|%s", l->layer, l->neurons,
                  l->levels / (l->neurons * frames), l->changes / (l->neurons * frames),
                  tern_human(dense, l->dense / frames, ""), tern_human(done, l->multiplications / frames, ""),
                  l->multiplications / l->dense, tern_human(bytes, l->state_bytes, "B"));
}

static json_t *layer_json(const tern_delta_layer *l, double frames)
{
    return json_pack("{s:s,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "layer", l->layer, "delta", l->delta,
                     "neurons", l->neurons, "spatial_density", l->levels / (l->neurons * frames),
                     "temporal_density", l->changes / (l->neurons * frames), "dense", l->dense / frames,
                     "spatial", l->spatial / frames, "temporal", l->needed / frames, "multiplications",
                     l->multiplications / frames, "state_bytes", l->state_bytes);
}

/* The table; `result` gets "layers" and the sums. */
static tern_status tell(const tern_cli *cli, const tern_delta_net *net, json_t *result)
{
    int count;
    double frames;
    const tern_delta_layer *layers = tern_delta_layers(net, &count, &frames);
    tern_delta_layer all = sum_of(layers, count);
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(list, layer_json(&layers[i], frames));
    json_object_set_new(result, "frames", json_real(frames));
    json_object_set_new(result, "layers", list);
    json_object_set_new(result, "all", layer_json(&all, frames));
    if (cli->json) return tern_print_json(json_incref(result));
    tern_grid t = {0};
    tern_grid_row(&t, "layer|neurons in|not zero|changed|multiplications, dense|done|of dense|states");
    for (int i = 0; i < count; i++) add_row(&t, &layers[i], frames);
    add_row(&t, &all, frames);
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("by frame, over %.0f frames; weighted by fan-out, %.4f of all operands are not zero and %.4f "
           "change (first "
           "frames of clips included)\n",
           frames, all.spatial / all.dense, all.needed / all.dense);
    return TERN_OK;
}

static tern_status on_clips(tern_cli *cli, tern_subject *s, const tern_samples *test)
{
    tern_shape frame = test->images.shape;
    int skipped = frame.rank - 3; /* [N,T] of clips, [N] of images */
    double accuracy, begun = tern_now();
    if (frame.rank < 4 || frame.rank > 5)
        return tern_fail(TERN_USAGE, "--delta takes images or clips, the run has samples of other shapes");
    memmove(frame.dim, frame.dim + skipped, 3 * sizeof *frame.dim);
    frame.rank = 3;
    tern_delta_net_options o = options_of(cli, tern_delta_batch(test->images.shape.dim[0]));
    tern_delta_net *net;
    TERN_TRY(tern_delta_open(&net, s->net, s->parameters, &frame, &o, &s->store, cli->pool));
    tern_status status = tern_delta_evaluate(net, test, &accuracy);
    json_t *result = json_object();
    if (status == TERN_OK) {
        json_object_set_new(result, "accuracy", json_real(accuracy));
        if (!cli->json)
            printf("accuracy %.4f  on %d samples, %.2f s\n", accuracy, (int)test->images.shape.dim[0],
                   tern_now() - begun);
        status = tell(cli, net, result);
    }
    json_decref(result);
    tern_delta_close(net);
    return status;
}

/* A frame u8 [C,H,W] of any size, as the net wants it. */
static tern_status fit_frame(const tern_tensor *from, const tern_samples *like, const tern_shape *shape,
                             float *to)
{
    tern_tensor sized = {0};
    int h = (int)shape->dim[1], w = (int)shape->dim[2];
    tern_resize_kind kind = from->shape.dim[1] < h ? TERN_RESIZE_BILINEAR : TERN_RESIZE_AREA;
    if (shape->dim[0] != from->shape.dim[0])
        return tern_fail(TERN_FAILED, "the video has %lld channels, the net was trained on %lld",
                         (long long)from->shape.dim[0], (long long)shape->dim[0]);
    TERN_TRY(tern_image_resize(from, h, w, kind, &sized));
    tern_normalise_frame(&sized, 0, like, to);
    tern_tensor_free(&sized);
    return TERN_OK;
}

static tern_status watch(tern_cli *cli, tern_delta_net *net, tern_video *video, const tern_samples *like,
                         const tern_shape *shape, json_t *result)
{
    float *frame = tern_take((size_t)tern_elements(shape) * sizeof *frame);
    int most = tern_cli_whole(cli, "frames"), classes = 0, best = 0;
    double sums[1024] = {0}, begun = tern_now();
    bool more = true;
    tern_status status = frame ? TERN_OK : tern_no_memory(64, "a frame");
    for (int t = 0; status == TERN_OK && (most == 0 || t < most); t++) {
        tern_tensor picture = {0};
        const float *logits;
        status = tern_video_next(video, shape->dim[0] == 1, &picture, &more);
        if (status != TERN_OK || !more) break;
        status = fit_frame(&picture, like, shape, frame);
        tern_tensor_free(&picture);
        if (status == TERN_OK) status = tern_delta_frame(net, frame, &logits, &classes);
        if (status == TERN_OK) tern_add_softmax(logits, classes < 1024 ? classes : 1024, sums);
        if (tern_interrupted()) status = tern_fail(TERN_INTERRUPTED, "interrupted");
    }
    tern_release(frame);
    TERN_TRY(status);
    if (!classes) return tern_fail(TERN_FAILED, "%s has no frames", tern_cli_text(cli, "video"));
    for (int c = 1; c < classes && c < 1024; c++)
        if (sums[c] > sums[best]) best = c;
    json_object_set_new(result, "class", json_integer(best));
    if (!cli->json) printf("class %d by the mean over all frames, %.2f s\n", best, tern_now() - begun);
    return tell(cli, net, result);
}

static tern_status on_video(tern_cli *cli, tern_subject *s, const tern_samples *like)
{
    tern_shape frame = s->sample;
    tern_video *video;
    tern_delta_net *net = NULL;
    if (frame.rank == 4) memmove(frame.dim, frame.dim + 1, 3 * sizeof *frame.dim);
    frame.rank = 3;
    if (s->sample.rank < 3 || s->sample.rank > 4)
        return tern_fail(TERN_USAGE, "--video needs a net of images, the run has samples of other shapes");
    TERN_TRY(tern_video_open(&video, tern_cli_text(cli, "video")));
    tern_delta_net_options o = options_of(cli, 1);
    json_t *result = json_object();
    tern_status status = tern_delta_open(&net, s->net, s->parameters, &frame, &o, &s->store, cli->pool);
    if (status == TERN_OK) status = watch(cli, net, video, like, &frame, result);
    json_decref(result);
    tern_delta_close(net);
    tern_video_close(video);
    return status;
}

tern_status tern_eval_delta(tern_cli *cli, tern_subject *s, const tern_samples *test)
{
    return tern_cli_has(cli, "video") ? on_video(cli, s, test) : on_clips(cli, s, test);
}
