#include "flat.h"

/* Of a struct or an offset. */
#define OFFSET_SIZE 4

/* n bytes at a place; NULL: they do not all lie inside, or cannot be read. */
static const uint8_t *bytes_at(struct flat *flat, uint64_t at, size_t n)
{
	const uint64_t length = flat->slice->length;
	if (at > length || n > length - at || n > flat->room) {
		flat->bad = true;
		return NULL;
	}
	if (at < flat->at || at - flat->at > flat->n || n > flat->n - (at - flat->at)) {
		const size_t piece = length - at < flat->room ? (size_t)(length - at) : flat->room;
		int r = slice_read(flat->slice, at, flat->piece, piece);
		flat->at = at;
		flat->n = r < 0 ? 0 : piece;
		if (r < 0) {
			flat->bad = true;
			flat->error = r;
			return NULL;
		}
	}
	return flat->piece + (at - flat->at);
}

/* Without a sign. */
static uint64_t number_at(struct flat *flat, uint64_t at, unsigned width)
{
	const uint8_t *p = bytes_at(flat, at, width);
	uint64_t number = 0;
	for (unsigned i = width; p && i > 0; i--)
		number = number << 8 | p[i - 1];
	return number;
}

static int64_t signed_at(struct flat *flat, uint64_t at, unsigned width)
{
	const unsigned unused = 64 - 8 * width;
	return (int64_t)(number_at(flat, at, width) << unused) >> unused;
}

static struct flat_table none(struct flat *flat)
{
	flat->bad = true;
	return (struct flat_table){.flat = NULL};
}

static struct flat_table table_at(struct flat *flat, uint64_t at)
{
	const int64_t vtable = (int64_t)at - signed_at(flat, at, OFFSET_SIZE);
	if (flat->bad || vtable < 0 || (uint64_t)vtable > UINT32_MAX || at > UINT32_MAX)
		return none(flat);
	struct flat_table table = {.flat = flat, .at = (uint32_t)at, .vtable = (uint32_t)vtable};
	table.vtable_size = (uint32_t)number_at(flat, table.vtable, 2);
	table.size = (uint32_t)number_at(flat, (uint64_t)table.vtable + 2, 2);
	return flat->bad ? none(flat) : table;
}

/* Where the offset at a place leads. */
static uint64_t follow(struct flat *flat, uint64_t at)
{
	return at + number_at(flat, at, OFFSET_SIZE);
}

struct flat_table flat_root(struct flat *flat)
{
	return table_at(flat, follow(flat, 0));
}

/* Where a member of `width` bytes is; 0: nowhere. */
static uint64_t place_of(const struct flat_table *table, unsigned member, unsigned width)
{
	const uint32_t at = 4 + 2 * member;
	if (!table->flat || at + 2 > table->vtable_size)
		return 0;
	const uint32_t place = (uint32_t)number_at(table->flat, (uint64_t)table->vtable + at, 2);
	if (place == 0)
		return 0;
	if (place < OFFSET_SIZE || place + width > table->size) {
		table->flat->bad = true;
		return 0;
	}
	return (uint64_t)table->at + place;
}

int64_t flat_number(const struct flat_table *table, unsigned member, unsigned width, int64_t otherwise)
{
	const uint64_t at = place_of(table, member, width);
	return at ? signed_at(table->flat, at, width) : otherwise;
}

struct flat_table flat_table(const struct flat_table *table, unsigned member)
{
	const uint64_t at = place_of(table, member, OFFSET_SIZE);
	return at ? table_at(table->flat, follow(table->flat, at)) : (struct flat_table){.flat = NULL};
}

struct flat_vector flat_vector(const struct flat_table *table, unsigned member, uint32_t width)
{
	const uint64_t at = place_of(table, member, OFFSET_SIZE);
	struct flat *flat = table->flat;
	if (!at)
		return (struct flat_vector){.width = width};
	const uint64_t head = follow(flat, at), count = number_at(flat, head, OFFSET_SIZE), first = head + OFFSET_SIZE;
	if (flat->bad || first > UINT32_MAX || count > (flat->slice->length - first) / width) {
		flat->bad = true;
		return (struct flat_vector){.width = width};
	}
	return (struct flat_vector){.flat = flat, .at = (uint32_t)first, .count = (uint32_t)count, .width = width};
}

static uint64_t element(const struct flat_vector *vector, uint32_t i)
{
	return vector->at + (uint64_t)i * vector->width;
}

struct flat_table flat_vector_table(const struct flat_vector *vector, uint32_t i)
{
	return table_at(vector->flat, follow(vector->flat, element(vector, i)));
}

int64_t flat_vector_number(const struct flat_vector *vector, uint32_t i, uint32_t offset, unsigned width)
{
	return signed_at(vector->flat, element(vector, i) + offset, width);
}

const char *flat_text(const struct flat_table *table, unsigned member, uint32_t most, uint32_t *ret_n)
{
	const struct flat_vector text = flat_vector(table, member, 1);
	*ret_n = text.count;
	if (!text.flat || text.count > most)
		return NULL;
	const char *bytes = text.count == 0 ? "" : (const char *)bytes_at(text.flat, text.at, text.count);
	if (!bytes)
		*ret_n = 0;
	return bytes;
}
