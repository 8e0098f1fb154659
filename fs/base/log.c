#include "ckfs/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static enum log_target log_target = LOG_TO_STDERR;

void log_open(enum log_target target)
{
	log_target = target;
	if (target == LOG_TO_SYSLOG)
		openlog("ckfs", LOG_PID, LOG_DAEMON);
}

void log_line(int priority, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (log_target == LOG_TO_SYSLOG) {
		vsyslog(priority, format, args);
	} else {
		/* One write a line: lines of several threads do not mix. */
		char line[2048] = "ckfs: ";
		int n = vsnprintf(line + 6, sizeof line - 7, format, args);
		size_t end = n < 0 ? 6 : (size_t)n > sizeof line - 8 ? sizeof line - 2 : 6 + (size_t)n;
		line[end] = '\n';
		fwrite(line, 1, end + 1, stderr);
	}
	va_end(args);
}
