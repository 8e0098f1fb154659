/*
 * Doubles as their shortest text: Raffaele Giulietti's Schubfach ("The Schubfach way to render doubles", 2020).
 *
 * A double c * 2^q stands for all reals up to the midpoints to its neighbours. With k = floor(log10(width of that interval)) the
 * multiples of 10^k hit it at least once, those of 10^(k+1) at most once: one of four candidates is the answer. They are
 * compared as integers, in units of 10^k / 4, which takes three products with a 128-bit power of ten.
 *
 * The powers are worked out at the first use, exactly, which takes half a millisecond: a table of 617 lines would be longer
 * than all else here.
 */
#include "json_write.h"

#include <pthread.h>
#include <stdbool.h>

#define POWER_MIN (-292)
#define POWER_MAX 324

__extension__ typedef unsigned __int128 u128;

/* 10^k = beta * 2^r with 2^127 <= beta < 2^128: here is beta, rounded up. */
static u128 powers[POWER_MAX - POWER_MIN + 1];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

/* An integer of any size that comes up: 10^325 has 1080 bits. The lowest word is the first. */
enum { BIG_WORDS = 38 };
struct big {
	uint32_t words[BIG_WORDS];
};

static void big_multiply(struct big *big, uint32_t by)
{
	uint64_t carry = 0;
	for (unsigned i = 0; i < BIG_WORDS; i++) {
		carry += (uint64_t)big->words[i] * by;
		big->words[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

/* Rounds down. */
static void big_divide(struct big *big, uint32_t by)
{
	uint64_t rest = 0;
	for (unsigned i = BIG_WORDS; i-- > 0;) {
		rest = rest << 32 | big->words[i];
		big->words[i] = (uint32_t)(rest / by);
		rest %= by;
	}
}

static unsigned big_bit(const struct big *big, int at)
{
	return at < 0 ? 0 : big->words[at / 32] >> at % 32 & 1;
}

/* The highest 128 bits. *ret_rest: are there others below them. */
static u128 big_head(const struct big *big, bool *ret_rest)
{
	int at = 32 * BIG_WORDS - 1;
	u128 head = 0;
	while (!big_bit(big, at))
		at--;
	for (int end = at - 128; at > end; at--)
		head = head << 1 | big_bit(big, at);
	*ret_rest = false;
	for (; at >= 0 && !*ret_rest; at--)
		*ret_rest = big_bit(big, at);
	return head;
}

static void powers_make(void)
{
	struct big big = {{1}};
	bool rest;
	for (int k = 0; k <= POWER_MAX; k++, big_multiply(&big, 10)) {
		u128 head = big_head(&big, &rest);
		powers[k - POWER_MIN] = head + rest;
	}
	/* 2^1215 / 10^k never comes out even, so there always is a rest; 128 bits are left of it at 10^292, which has 970. */
	big = (struct big){.words = {[BIG_WORDS - 1] = UINT32_C(1) << 31}};
	for (int k = -1; k >= POWER_MIN; k--) {
		big_divide(&big, 10);
		powers[k - POWER_MIN] = big_head(&big, &rest) + 1;
	}
}

/* significand * 10^exponent */
struct decimal {
	uint64_t significand;
	int exponent;
};

/* floor(log2(10^e)), exact for |e| <= 1233 */
static inline int log2_of_power10(int e)
{
	return (e * 1741647) >> 19;
}

/* floor(g * c / 2^128), with the lowest bit set when that is not exact. */
static inline uint64_t multiply_to_odd(u128 g, uint64_t c)
{
	u128 low = (u128)(uint64_t)g * c;
	u128 high = (u128)(uint64_t)(g >> 64) * c + (uint64_t)(low >> 64);
	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The shortest decimal within the interval around c * 2^q, of these the nearest. `narrow`: the lower neighbour is only half as far away. */
static struct decimal shortest(uint64_t c, int q, bool narrow)
{
	bool odd = c & 1; /* the interval's ends round to even: they belong to it, or not */
	/* floor(log10(2^q)), or of 3/4 of it */
	int k = (q * 1262611 - (narrow ? 524031 : 0)) >> 22;
	int h = q + log2_of_power10(-k) + 1;
	u128 g = powers[-k - POWER_MIN];

	/* All in units of 10^k / 4. */
	uint64_t lower = multiply_to_odd(g, (4 * c - 2 + narrow) << h) + odd;
	uint64_t value = multiply_to_odd(g, (4 * c) << h);
	uint64_t upper = multiply_to_odd(g, (4 * c + 2) << h) - odd;

	uint64_t s = value / 4;
	if (s >= 10) {
		uint64_t t = s / 10;
		bool below = lower <= 40 * t, above = 40 * t + 40 <= upper;
		if (below != above)
			return (struct decimal){t + above, k + 1};
	}
	bool below = lower <= 4 * s, above = 4 * s + 4 <= upper;
	if (below != above)
		return (struct decimal){s + above, k};
	uint64_t middle = 4 * s + 2;
	return (struct decimal){s + (value > middle || (value == middle && (s & 1))), k};
}

/* `bits` without their sign are neither 0 nor those of a nonfinite. */
static struct decimal decimal_of(uint64_t bits)
{
	uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
	int exponent = (int)(bits >> 52 & 0x7ff);
	if (exponent == 0)
		return shortest(fraction, -1074, false);
	uint64_t c = fraction | UINT64_C(1) << 52;
	int q = exponent - 1075;
	/* An integer that is exact: what many floats are. */
	if (q <= 0 && q > -53 && (c & ((UINT64_C(1) << -q) - 1)) == 0)
		return (struct decimal){c >> -q, 0};
	return shortest(c, q, fraction == 0 && exponent > 1);
}

/* Digits d, of which the first `point` stand before the point, as Python's repr lays them out. Returns the end; at most 24 bytes. */
static uint8_t *lay_out(const uint8_t *d, int n, int point, uint8_t *to)
{
	if (point < -3 || point > 16) {
		*to++ = d[0];
		if (n > 1) {
			*to++ = '.';
			memcpy(to, d + 1, (size_t)n - 1);
			to += n - 1;
		}
		int exponent = point - 1;
		*to++ = 'e';
		*to++ = exponent < 0 ? '-' : '+';
		unsigned magnitude = (unsigned)(exponent < 0 ? -exponent : exponent);
		if (magnitude < 10)
			*to++ = '0';
		return json_digits(magnitude, to);
	}
	if (point <= 0) {
		memcpy(to, "0.000", 5);
		to += 2 - point;
		memcpy(to, d, (size_t)n);
		return to + n;
	}
	if (point >= n) {
		memcpy(to, d, (size_t)n);
		memset(to + n, '0', (size_t)(point - n));
		memcpy(to + point, ".0", 2);
		return to + point + 2;
	}
	memcpy(to, d, (size_t)point);
	to[point] = '.';
	memcpy(to + point + 1, d + point, (size_t)(n - point));
	return to + n + 1;
}

/* Takes the zeros off its end. */
static void decimal_trim(struct decimal *decimal)
{
	static const struct {
		uint32_t power;
		int zeros;
	} steps[] = {{100000000, 8}, {10000, 4}, {100, 2}, {10, 1}};
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
		while (decimal->significand % steps[i].power == 0) {
			decimal->significand /= steps[i].power;
			decimal->exponent += steps[i].zeros;
		}
	}
}

int json_write_double(struct sink *sink, double value)
{
	enum { LONGEST = 1 + 24 };
	uint8_t digits[20];
	uint64_t bits;
	memcpy(&bits, &value, sizeof bits);
	int r = sink_room(sink, LONGEST);
	if (r < 0)
		return r;
	if (bits >> 63)
		*sink->p++ = '-';
	if (bits << 1 == 0)
		return json_write_bytes(sink, "0.0", 3);
	pthread_once(&powers_once, powers_make);
	struct decimal decimal = decimal_of(bits);
	decimal_trim(&decimal);
	int n = (int)(json_digits(decimal.significand, digits) - digits);
	sink->p = lay_out(digits, n, n + decimal.exponent, sink->p);
	return 0;
}
