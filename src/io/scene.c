/* Pictures on a plane: each pixel of the plane asks which place of the picture it shows, and takes it from the four pixels around. */
#include "io/scene.h"

#include <math.h>

static float at(const uint8_t *picture, int h, int w, int y, int x)
{
    return y < 0 || x < 0 || y >= h || x >= w ? 0 : picture[y * w + x];
}

static float between(const uint8_t *picture, int h, int w, float y, float x)
{
    int top = (int)(y + 1) - 1, left = (int)(x + 1) - 1; /* floor, as both are above -1 */
    float down = y - (float)top, right = x - (float)left;
    if (top >= 0 && left >= 0 && top < h - 1 && left < w - 1) { /* all four are there */
        const uint8_t *p = picture + top * w + left;
        return (1 - down) * ((1 - right) * p[0] + right * p[1]) +
               down * ((1 - right) * p[w] + right * p[w + 1]);
    }
    float upper = (1 - right) * at(picture, h, w, top, left) + right * at(picture, h, w, top, left + 1);
    float lower =
        (1 - right) * at(picture, h, w, top + 1, left) + right * at(picture, h, w, top + 1, left + 1);
    return (1 - down) * upper + down * lower;
}

static int bound(double value, int most)
{
    return value < 0 ? 0 : value > most ? most : (int)value;
}

void tern_scene_place(const uint8_t *picture, int h, int w, const tern_pose *pose, int height, int width,
                      tern_draw *draw, void *context)
{
    double reach = pose->scale * (hypot(h, w) / 2 + 1);
    int top = bound(pose->y - reach, height), bottom = bound(pose->y + reach + 1, height);
    int left = bound(pose->x - reach, width), right = bound(pose->x + reach + 1, width);
    float c = (float)(cos(pose->angle) / pose->scale), s = (float)(sin(pose->angle) / pose->scale);
    for (int y = top; y < bottom; y++) {
        for (int x = left; x < right; x++) {
            float dx = (float)(x - pose->x), dy = (float)(y - pose->y);
            float u = c * dx + s * dy + (float)(w - 1) / 2, v = c * dy - s * dx + (float)(h - 1) / 2;
            if (u > -1 && v > -1 && u < (float)w && v < (float)h)
                draw(context, (int64_t)y * width + x, between(picture, h, w, v, u));
        }
    }
}
