/* The views of this build. */
#ifndef CKFS_VIEWS_H
#define CKFS_VIEWS_H

#include "ckfs/view.h"

extern const struct view root_view, raw_view, frame_view, arrow_view, npy_view, msgpack_view, json_view, meta_view;

#endif
