#include "frame_meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct member {
	const char *name;
	size_t offset;   /* of the char * or enum tristate in struct frame_meta */
	bool is_boolean;
	const char *fault;
} members[] = {
	{"format", offsetof(struct frame_meta, format), false, "metadata member \"format\" is not a usable string"},
	{"encoding", offsetof(struct frame_meta, encoding), false, "metadata member \"encoding\" is not a usable string"},
	{"original_type", offsetof(struct frame_meta, original_type), false,
	 "metadata member \"original_type\" is not a usable string"},
	{"tenant_id", offsetof(struct frame_meta, tenant_id), false, "metadata member \"tenant_id\" is not a usable string"},
	{"encryption_algorithm", offsetof(struct frame_meta, encryption_algorithm), false,
	 "metadata member \"encryption_algorithm\" is not a usable string"},
	{"key_fingerprint", offsetof(struct frame_meta, key_fingerprint), false,
	 "metadata member \"key_fingerprint\" is not a usable string"},
	{"compressed", offsetof(struct frame_meta, compressed), true, "metadata member \"compressed\" is not true or false"},
	{"encrypted", offsetof(struct frame_meta, encrypted), true, "metadata member \"encrypted\" is not true or false"},
};

#define MEMBERS (sizeof members / sizeof members[0])

/* The bits of the faults that are not the metadata's members'. */
#define FAULT_SERIALIZER (1u << MEMBERS)
#define FAULT_METADATA (1u << (MEMBERS + 1))

static char **string_slot(struct frame_meta *meta, const struct member *m)
{
	return (char **)((char *)meta + m->offset);
}

static enum tristate *boolean_slot(struct frame_meta *meta, const struct member *m)
{
	return (enum tristate *)((char *)meta + m->offset);
}

static void slot_clear(struct frame_capture *c, const struct member *m)
{
	if (m->is_boolean) {
		*boolean_slot(&c->meta, m) = UNKNOWN;
	} else {
		free(*string_slot(&c->meta, m));
		*string_slot(&c->meta, m) = NULL;
	}
	c->faults &= ~(1u << (m - members));
}

static void metadata_clear(struct frame_capture *c)
{
	for (size_t i = 0; i < MEMBERS; i++)
		slot_clear(c, &members[i]);
	c->faults &= ~FAULT_METADATA;
}

static void serializer_clear(struct frame_capture *c)
{
	free(c->meta.serializer);
	c->meta.serializer = NULL;
	c->faults &= ~FAULT_SERIALIZER;
}

static bool name_is(const struct frame_name *name, const char *expect)
{
	return name->length == strlen(expect) && memcmp(name->text, expect, name->length) == 0;
}

/* Appends to one of the two texts above; what is over `size` is only counted. */
static void append(char *text, size_t size, size_t *length, const uint8_t *bytes, size_t n)
{
	if (*length < size)
		memcpy(text + *length, bytes, n < size - *length ? n : size - *length);
	*length += n;
}

/* A copy of the string that was read; NULL in *ret when it is too long or holds a NUL. */
static int value_take(const struct frame_capture *c, char **ret)
{
	char *copy = NULL;
	if (c->value_length <= sizeof c->value && !memchr(c->value, 0, c->value_length)) {
		copy = strndup(c->value, c->value_length);
		if (!copy)
			return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

/* A member of the outermost object got its value, or one that is a container began. */
static int top_value(struct frame_capture *c, enum json_event event)
{
	if (frame_capture_at(c, c->metadata_name)) {
		metadata_clear(c);
		c->in_metadata = event == JSON_OBJECT;
		if (!c->in_metadata)
			c->faults |= FAULT_METADATA;
		return 0;
	}
	if (!frame_capture_at(c, c->serializer_name))
		return 0;
	/* Of duplicate members the last wins, also when it is none. */
	serializer_clear(c);
	if (event != JSON_STRING_END || c->value_length == 0)
		return 0;
	int r = value_take(c, &c->meta.serializer);
	if (r < 0)
		return r;
	if (!c->meta.serializer) { /* a name, though none that can be told: the payload can be had all the same */
		c->faults |= FAULT_SERIALIZER;
		c->meta.serializer = strdup("");
	}
	return c->meta.serializer ? 0 : -ENOMEM;
}

/* The same for a member of the metadata. */
static int metadata_value(struct frame_capture *c, enum json_event event)
{
	const struct member *m = members;
	while (m < members + MEMBERS && !name_is(&c->names[1], m->name))
		m++;
	if (m == members + MEMBERS)
		return 0;
	slot_clear(c, m);
	bool usable = event == JSON_NULL;
	if (m->is_boolean && (event == JSON_TRUE || event == JSON_FALSE)) {
		*boolean_slot(&c->meta, m) = event == JSON_TRUE ? YES : NO;
		usable = true;
	} else if (!m->is_boolean && event == JSON_STRING_END) {
		int r = value_take(c, string_slot(&c->meta, m));
		if (r < 0)
			return r;
		usable = *string_slot(&c->meta, m);
	}
	if (!usable)
		c->faults |= 1u << (m - members);
	return 0;
}

static void read_name(struct frame_capture *c, struct frame_name *name, enum json_event event, const uint8_t *bytes,
		      size_t n)
{
	if (!c->in_name)
		name->length = 0;
	c->in_name = event == JSON_KEY_PART;
	if (c->in_name)
		append(name->text, sizeof name->text, &name->length, bytes, n);
	else
		c->value_length = 0;
}

int frame_capture_event(void *capture, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	struct frame_capture *c = capture;
	if (level == 0) {
		c->has_object = event == JSON_OBJECT || event == JSON_OBJECT_END;
		return 0;
	}
	if (!c->has_object || level > 2 || (level == 2 && !c->in_metadata))
		return 0;
	switch (event) {
	case JSON_KEY_PART:
	case JSON_KEY_END:
		read_name(c, &c->names[level - 1], event, bytes, n);
		return 0;
	case JSON_STRING_PART:
		append(c->value, sizeof c->value, &c->value_length, bytes, n);
		return 0;
	case JSON_OBJECT_END:
	case JSON_ARRAY_END:
		if (level == 1)
			c->in_metadata = false;
		return 0;
	default:
		return level == 1 ? top_value(c, event) : metadata_value(c, event);
	}
}

bool frame_capture_at(const struct frame_capture *capture, const char *name)
{
	return name_is(&capture->names[0], name);
}

void frame_capture_init(struct frame_capture *capture, const char *serializer_name, const char *metadata_name)
{
	capture->serializer_name = serializer_name;
	capture->metadata_name = metadata_name;
	capture->meta = FRAME_META_UNKNOWN;
	capture->has_object = capture->in_metadata = capture->in_name = false;
	capture->names[0].length = capture->names[1].length = 0;
	capture->value_length = 0;
	capture->faults = 0;
}

static const char *fault_text(unsigned faults)
{
	if (faults & FAULT_SERIALIZER)
		return "the serializer's name is too long or holds a NUL";
	if (faults & FAULT_METADATA)
		return "the metadata is not an object";
	return faults ? members[__builtin_ctz(faults)].fault : NULL;
}

bool frame_capture_take(struct frame_capture *capture, struct frame_meta *ret, const char **ret_reason)
{
	if (!capture->has_object || !capture->meta.serializer) {
		if (ret_reason)
			*ret_reason = capture->has_object ? "frame header names no serializer" : "frame header is not a JSON object";
		return false;
	}
	*ret = capture->meta;
	ret->fault = fault_text(capture->faults);
	capture->meta = FRAME_META_UNKNOWN;
	return true;
}

void frame_capture_done(struct frame_capture *capture)
{
	frame_meta_done(&capture->meta);
}

void frame_meta_done(struct frame_meta *meta)
{
	free(meta->serializer);
	for (size_t i = 0; i < MEMBERS; i++)
		if (!members[i].is_boolean)
			free(*string_slot(meta, &members[i]));
	*meta = FRAME_META_UNKNOWN;
}
