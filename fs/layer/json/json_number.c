/*
 * Numbers, as long as they may be, in constant memory: of one it is noted how its first digits compare with those of the limit, where its point
 * stands, and its exponent. That tells, exactly, whether a double holds it.
 */
#include "json_number.h"

#include "json_state.h"

/* 2^1024 - 2^970: what is as large, or larger, is rounded to infinity. */
static const char limit[] = "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946"
	"55554785194040263065748867150582068190890200070838367627385484581771153176447573027006985557136695962284291481986083493647529271907416844436551"
	"0704342711559699508093042880177904174497792";

#define LIMIT_DIGITS ((int)sizeof limit - 1)

/* A larger exponent outweighs all the zeros that a text may have. */
#define EXPONENT_MAX ((int64_t)1 << 48)

/* Digits of an integer that Python reads (sys.set_int_max_str_digits()). */
#define PYTHON_DIGITS_MAX 4300

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Notes more digits of the number, before its point or behind it. */
static void take_digits(struct json_number *number, const uint8_t *p, size_t n, bool fraction)
{
	for (; number->compared == 0 && n > 0 && *p == '0'; p++, n--)
		number->point -= fraction;
	if (!fraction)
		number->point += (int64_t)n;
	size_t more = (size_t)(LIMIT_DIGITS - number->compared);
	if (more > n)
		more = n;
	/* Of nearly all numbers the first digit tells. */
	for (size_t i = 0; i < more && number->order == 0; i++)
		number->order = p[i] - (uint8_t)limit[(size_t)number->compared + i];
	number->compared += (int)more;
}

static void take_exponent(struct json_number *number, const uint8_t *p, size_t n)
{
	for (; n > 0 && number->exponent < EXPONENT_MAX; p++, n--)
		number->exponent = number->exponent * 10 + (*p - '0');
}

/* Whether a double that is nearest to it is none. Where all digits are those of the limit, and more, it is not below it. */
static bool is_infinite(const struct json_number *number)
{
	const int64_t point = number->point + (number->small ? -number->exponent : number->exponent);
	if (number->compared == 0 || point < LIMIT_DIGITS)
		return false;
	return point > LIMIT_DIGITS || number->order > 0 || (number->order == 0 && number->compared == LIMIT_DIGITS);
}

void json_begin_number(struct json_scan *scan)
{
	scan->number = (struct json_number){0};
	scan->state = IN_MINUS;
}

/* The state after one more byte of a number, or -1 when it does not go on with it. */
static int number_next(int state, uint8_t c)
{
	bool digit = is_digit(c);
	switch (state) {
	case IN_MINUS:
		return c == '0' ? IN_ZERO : digit ? IN_INTEGER : -1;
	case IN_ZERO:
	case IN_INTEGER:
		if (digit)
			return state == IN_INTEGER ? IN_INTEGER : -1;
		return c == '.' ? IN_POINT : (c | 0x20) == 'e' ? IN_E : -1;
	case IN_POINT:
		return digit ? IN_FRACTION : -1;
	case IN_FRACTION:
		return digit ? IN_FRACTION : (c | 0x20) == 'e' ? IN_E : -1;
	case IN_E:
		return digit ? IN_EXPONENT : c == '+' || c == '-' ? IN_E_SIGN : -1;
	default: /* IN_E_SIGN, IN_EXPONENT */
		return digit ? IN_EXPONENT : -1;
	}
}

bool json_number_may_end(int state)
{
	return state == IN_ZERO || state == IN_INTEGER || state == IN_FRACTION || state == IN_EXPONENT;
}

/* Whether its reader refuses a number whose grammar is right. */
static bool is_refused(const struct json_scan *scan)
{
	switch (scan->dialect) {
	case JSON_ORJSON:
		return is_infinite(&scan->number);
	case JSON_PYTHON:
		return scan->state == IN_INTEGER && scan->number.point > PYTHON_DIGITS_MAX;
	default:
		return false;
	}
}

void json_end_number(struct json_scan *scan)
{
	if (is_refused(scan)) {
		json_fail(scan);
		return;
	}
	json_value_done(scan);
	json_emit(scan, JSON_NUMBER, NULL, 0);
}

/* Moves past a digit, or a sign of the exponent or whatever else stands alone, and past the digits that follow it. */
static const uint8_t *read_part(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p++;
	if (scan->state != IN_INTEGER && scan->state != IN_FRACTION && scan->state != IN_EXPONENT) {
		scan->number.small |= *from == '-';
		return p;
	}
	while (p < end && is_digit(*p))
		p++;
	if (scan->state == IN_EXPONENT)
		take_exponent(&scan->number, from, (size_t)(p - from));
	else
		take_digits(&scan->number, from, (size_t)(p - from), scan->state == IN_FRACTION);
	return p;
}

/* The end of an integer that begins here, ends before `end`, and is too short for any limit: what most numbers are. NULL: it is none. */
static const uint8_t *short_integer(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;
	while (p < end && is_digit(*p))
		p++;
	if (p == from || p == end || p - from >= LIMIT_DIGITS || (*from == '0' && p - from > 1) || *p == '.' || (*p | 0x20) == 'e')
		return NULL;
	return p;
}

const uint8_t *json_read_number(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *behind = scan->state == IN_MINUS ? short_integer(p, end) : NULL;
	if (behind) {
		json_end_number(scan);
		return behind;
	}
	while (p < end) {
		int next = number_next(scan->state, *p);
		if (next >= 0) {
			scan->state = (uint8_t)next;
			p = read_part(scan, p, end);
			continue;
		}
		if (json_number_may_end(scan->state)) {
			json_end_number(scan);
		} else if (scan->state == IN_MINUS && *p == 'I') {
			json_begin_nonfinite(scan, "nfinity");
			p++;
		} else {
			json_fail(scan);
		}
		break;
	}
	return p;
}
