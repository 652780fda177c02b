// A length of 16 bits, most significant byte first, in front of the payload: what length:16be is in Go.
//
//	| length 2 | payload |
//
// Nothing of the payload matters to it, so its window is its header, and a frame of any length costs the same.

#include "encase.h"

#define HEADER 2

static uint8_t buffer[1024];

EXPORT(encase_buffer) uint8_t *encase_buffer(void) { return buffer; }

EXPORT(encase_limits) int32_t encase_limits(int32_t which) {
	switch (which) {
	case HEAD: return HEADER;
	case MAX: return 0xffff;
	case WINDOW: return HEADER;
	case PEEK: return HEADER;
	default: return 0;
	}
}

EXPORT(encase_encode) int64_t encase_encode(uint32_t length) {
	buffer[0] = length >> 8;
	buffer[1] = length;
	return result(0, HEADER + length);
}

EXPORT(encase_frame_len) int32_t encase_frame_len(uint32_t length) {
	if (length < HEADER) return MORE;
	return HEADER + (buffer[0] << 8 | buffer[1]);
}

EXPORT(encase_decode) int64_t encase_decode(uint32_t length) {
	if (length < HEADER || encase_frame_len(HEADER) != (int32_t)length) return MALFORMED;
	return result(HEADER, length - HEADER);
}
