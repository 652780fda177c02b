// A mask that rolls on with every frame, and a length that has a second byte only if it needs it: what a description
// cannot say.
//
//	| length 1 or 2 | payload, masked |
//
// A length below 128 is one byte. Any other has its upper seven bits in the first byte, with the top bit set, and the
// rest in the second; it must not be written so if one byte holds it.
//
// The mask is eight bytes that repeat, least significant byte of a number of 64 bits first. That of the first frame is
// the key, read in the same way and filled up with zeros, exclusive or 6a09e667f3bcc908 for what a client sends and
// bb67ae8584caa73b for what a server sends; if that is zero, 1. Of each number comes the next by
//
//	x ^= x << 13; x ^= x >> 7; x ^= x << 17
//
// A frame that is refused leaves the mask as it is. The option key=HEX is the key, 1 to 8 bytes. All this hides nothing
// from anyone who looks for it: TLS inside does.

#include "encase.h"

#define MAX_PAYLOAD 0x7fff
#define HEADER 2 // the longest

static uint8_t buffer[HEADER + MAX_PAYLOAD];
static uint64_t mask;

EXPORT(encase_buffer) uint8_t *encase_buffer(void) { return buffer; }

EXPORT(encase_limits) int32_t encase_limits(int32_t which) {
	switch (which) {
	case HEAD: return HEADER;
	case MAX: return MAX_PAYLOAD;
	case PEEK: return HEADER;
	default: return 0;
	}
}

static int digit(uint8_t c) {
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return -1;
}

// Says what is allowed. Returns how long that is.
static int32_t refuse(void) {
	static const char text[] = "allowed: key=HEX, 1 to 8 bytes in lower-case hexadecimal";
	for (uint32_t i = 0; i < sizeof text - 1; i++) buffer[i] = text[i];
	return sizeof text - 1;
}

EXPORT(encase_init) int32_t encase_init(int32_t role, int32_t direction, uint32_t length) {
	static const char name[] = "key=";
	const uint32_t from = sizeof name - 1;
	if (length < from + 2 || length > from + 16 || length % 2 != 0) return refuse();
	for (uint32_t i = 0; i < from; i++) {
		if (buffer[i] != name[i]) return refuse();
	}
	mask = 0;
	for (uint32_t i = from; i < length; i += 2) {
		int high = digit(buffer[i]), low = digit(buffer[i + 1]);
		if (high < 0 || low < 0) return refuse();
		mask |= (uint64_t)(high << 4 | low) << (i - from) * 4;
	}
	int by_client = (role == CLIENT) == (direction == ENCODE);
	mask ^= by_client ? 0x6a09e667f3bcc908 : 0xbb67ae8584caa73b;
	if (mask == 0) mask = 1;
	return 0;
}

// Masks what is at p, eight bytes at a time, and rolls on.
static void apply(uint8_t *p, uint32_t length) {
	uint64_t word;
	for (; length >= 8; p += 8, length -= 8) {
		__builtin_memcpy(&word, p, 8);
		word ^= mask;
		__builtin_memcpy(p, &word, 8);
	}
	for (uint32_t i = 0; i < length; i++) p[i] ^= mask >> 8 * i;
	mask ^= mask << 13;
	mask ^= mask >> 7;
	mask ^= mask << 17;
}

EXPORT(encase_encode) int64_t encase_encode(uint32_t length) {
	apply(buffer + HEADER, length);
	if (length < 0x80) {
		buffer[1] = length;
		return result(1, 1 + length);
	}
	buffer[0] = 0x80 | length >> 8;
	buffer[1] = length;
	return result(0, 2 + length);
}

EXPORT(encase_frame_len) int32_t encase_frame_len(uint32_t length) {
	if (length < 1) return MORE;
	if (buffer[0] < 0x80) return 1 + buffer[0];
	if (length < 2) return MORE;
	uint32_t payload = (buffer[0] & 0x7f) << 8 | buffer[1];
	return payload < 0x80 ? MALFORMED : (int32_t)(2 + payload);
}

EXPORT(encase_decode) int64_t encase_decode(uint32_t length) {
	int32_t frame = encase_frame_len(length);
	if (frame <= 0 || (uint32_t)frame != length) return MALFORMED;
	uint32_t header = buffer[0] < 0x80 ? 1 : 2;
	apply(buffer + header, length - header);
	return result(header, length - header);
}
