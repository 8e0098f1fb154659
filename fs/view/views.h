/* The views of this build. */
#ifndef CKFS_VIEWS_H
#define CKFS_VIEWS_H

#include "ckfs/view.h"

#define VIEW_DECLARATION(number, name) extern const struct view name;
VIEWS(VIEW_DECLARATION)
#undef VIEW_DECLARATION

#endif
