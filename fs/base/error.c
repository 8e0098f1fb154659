#include "ckfs/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *error, int r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	for (char *p = error->text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	return r;
}
