/* motion-8: a garment of Fashion-MNIST moves over a plane of 128x128 pixels for half a second in one of eight ways, seen by
 * the event camera model at 1 kHz.  The class is the motion; each object is shown ten times.  One frame cannot tell
 * turning left from turning right: the task needs time. */
#include "io/dataset.h"
#include "io/scene.h"
#include "spike/events.h"

#define SIDE    128
#define SAMPLES 500 /* looks of the camera, 1 ms apart */
#define TRIALS  10  /* of an object */
#define TASKS   64

static const char *const motions[] = {"left",      "right",      "up",   "down",
                                      "turn left", "turn right", "grow", "shrink"};
enum { LEFT, RIGHT, UP, DOWN, TURN_LEFT, TURN_RIGHT, GROW, SHRINK };

/* Where the object stands at `part` 0..1 of the clip.  Dice: speed, start of the angle, two of the place. */
static tern_pose pose_at(int motion, const double dice[4], double part)
{
    double way = 0.4 * SIDE * (0.6 + 0.4 * dice[0]) * (part - 0.5); /* pixels */
    double turn = 2.4 * (0.6 + 0.4 * dice[0]) * (part - 0.5);       /* radians */
    double grown = 1 + (0.6 + 0.4 * dice[0]) * (motion == SHRINK ? 1 - part : part);
    tern_pose pose = {SIDE / 2.0 + 16 * (dice[2] - 0.5), SIDE / 2.0 + 16 * (dice[3] - 0.5), 1.5,
                      6.2831853 * dice[1]};
    switch (motion) {
    case LEFT:
        pose.x -= way;
        break;
    case RIGHT:
        pose.x += way;
        break;
    case UP:
        pose.y -= way;
        break;
    case DOWN:
        pose.y += way;
        break;
    case TURN_LEFT:
        pose.angle -= turn;
        break;
    case TURN_RIGHT:
        pose.angle += turn;
        break;
    default:
        pose.scale = 1.1 * grown;
    }
    return pose;
}

/* Ten to one between the brightest garment and the background. */
static void draw(void *context, int64_t pixel, float value)
{
    ((float *)context)[pixel] = 0.1f + 0.9f * value / 255;
}

static tern_status record(const uint8_t *picture, int motion, tern_rng rng, float *plane, tern_camera *camera,
                          tern_events *events)
{
    double dice[4];
    for (uint64_t i = 0; i < 4; i++) dice[i] = tern_rng_uniform(rng, i);
    for (int k = 0; k <= SAMPLES; k++) {
        for (int i = 0; i < SIDE * SIDE; i++) plane[i] = 0.1f;
        tern_pose pose = pose_at(motion, dice, (double)k / SAMPLES);
        tern_scene_place(picture, 28, 28, &pose, SIDE, SIDE, draw, plane);
        TERN_TRY(tern_camera_look(camera, plane, (uint32_t)k * 1000, events));
    }
    return TERN_OK;
}

/* One split being made: clip i shows object i / TRIALS. */
typedef struct tern_studio {
    const tern_tensor *objects; /* u8 [N,1,28,28] */
    const tern_dataset_options *options;
    uint64_t stream; /* of the first clip */
    tern_split *out;
    tern_status status[TASKS]; /* of the clips i with i % TASKS == its index */
} tern_studio;

static tern_status make_clip(const tern_studio *s, int64_t i, float *plane)
{
    int motion = (int)(i % 8);
    tern_rng rng = {s->options->seed, s->stream + 16 * (uint64_t)i};
    tern_camera_options o = {SIDE, SIDE, 0.2, 0.03, 1000, 0.1, rng};
    tern_camera *camera = NULL;
    tern_events events = {.width = SIDE, .height = SIDE};
    TERN_TRY(tern_camera_open(&camera, &o));
    const uint8_t *picture = (const uint8_t *)s->objects->data + i / TRIALS * 28 * 28;
    tern_status status = record(picture, motion, rng, plane, camera, &events);
    if (status == TERN_OK) {
        tern_shape shape = s->out->images.shape;
        int64_t size = tern_elements_from(&shape, 1);
        tern_tensor frames = {TERN_U8, TERN_SHAPE(shape.dim[1], 2, shape.dim[3], shape.dim[4]),
                              (uint8_t *)s->out->images.data + i * size};
        tern_events_frames(&events, s->options->by_time ? TERN_FRAMES_BY_TIME : TERN_FRAMES_BY_NUMBER,
                           &frames);
        ((int32_t *)s->out->labels.data)[i] = motion;
    }
    tern_events_free(&events);
    tern_camera_close(camera);
    return status;
}

/* Clips task, task + TASKS, ..; messages belong to a thread, so the caller writes its own. */
static void make_clips(void *context, int64_t task, int thread)
{
    (void)thread;
    tern_studio *s = context;
    int64_t count = s->out->labels.shape.dim[0];
    float *plane = tern_take(SIDE * SIDE * sizeof *plane);
    s->status[task] = plane ? TERN_OK : TERN_NO_MEMORY;
    for (int64_t i = task; i < count && s->status[task] == TERN_OK; i += TASKS)
        s->status[task] = make_clip(s, i, plane);
    tern_release(plane);
}

static tern_status make_split(const tern_tensor *objects, const tern_dataset_options *o, int clips,
                              uint64_t stream, tern_split *out)
{
    int steps = o->timesteps ? o->timesteps : 10, height = o->height ? o->height : 64,
        width = o->width ? o->width : 64;
    if (clips > objects->shape.dim[0] * TRIALS) clips = (int)objects->shape.dim[0] * TRIALS;
    if (height < 1 || width < 1 || steps < 1 || height > SIDE || width > SIDE)
        return tern_fail(TERN_USAGE, "motion-8: %d frames of %d x %d pixels, expected 1 to %d pixels", steps,
                         width, height, SIDE);
    TERN_TRY(tern_tensor_new(&out->images, TERN_U8, &TERN_SHAPE(clips, steps, 2, height, width)));
    TERN_TRY(tern_tensor_new(&out->labels, TERN_I32, &TERN_SHAPE(clips)));
    tern_studio studio = {.objects = objects, .options = o, .stream = stream, .out = out};
    tern_pool *pool = NULL;
    TERN_TRY(tern_pool_open(&pool, 0));
    tern_pool_run(pool, TASKS, make_clips, &studio);
    tern_pool_close(pool);
    for (int i = 0; i < TASKS; i++)
        if (studio.status[i] != TERN_OK) return tern_no_memory(SIDE * SIDE * 20, "an event camera");
    return TERN_OK;
}

tern_status tern_load_motion(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    tern_dataset garments = {0};
    tern_status status = tern_load_garments(&garments, path);
    int train = options->train_limit ? options->train_limit : 1600,
        test = options->test_limit ? options->test_limit : 400;
    if (status == TERN_OK)
        status = make_split(&garments.train.images, options, train, 1u << 30, &dataset->train);
    if (status == TERN_OK)
        status = make_split(&garments.test.images, options, test, 2u << 30, &dataset->test);
    if (status == TERN_OK) status = tern_dataset_name_classes(dataset, motions, 8);
    tern_dataset_close(&garments);
    return status;
}
