/* Pictures that are moved over a plane, for the data sets that are made. */
#ifndef TERN_IO_SCENE_H
#define TERN_IO_SCENE_H

#include "tensor/tensor.h"

/* Where a picture stands: its middle, its size in pixels of the plane a pixel of its own, its angle (radians, turning
 * from x to y). */
typedef struct tern_pose {
    double x, y, scale, angle;
} tern_pose;

/* For each pixel of plane [height,width] that the picture [h,w] touches: draw(context, pixel, value), value 0..255
 * taken between the picture's pixels; outside of it is 0. */
typedef void tern_draw(void *context, int64_t pixel, float value);
void tern_scene_place(const uint8_t *picture, int h, int w, const tern_pose *pose, int height, int width,
                      tern_draw *draw, void *context);

#endif
