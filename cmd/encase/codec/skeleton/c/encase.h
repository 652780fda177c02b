// The interface of plugins, version 1, for C. What each function has to do: spec/plugin.md.
#ifndef ENCASE_H
#define ENCASE_H

#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))

// What encase_limits is asked for.
enum { HEAD, TAIL, MAX, WINDOW, PEEK, LENIENT };

// The role and the direction that encase_init is told.
enum { CLIENT, SERVER };
enum { ENCODE, DECODE };

// What is returned in place of a result.
#define MORE 0       // encase_frame_len: it cannot be told yet
#define MALFORMED -1 // encase_decode, encase_frame_len: the peer has sent what is no frame
#define TOO_LARGE -2 // encase_encode: the payload is too long

// The result of encase_encode and encase_decode: bytes of the buffer.
static inline int64_t result(uint32_t offset, uint32_t length) { return (int64_t)offset << 32 | length; }

EXPORT(encase_abi) int32_t encase_abi(void) { return 1; }

int32_t encase_init(int32_t role, int32_t direction, uint32_t options);
int32_t encase_limits(int32_t which);
int64_t encase_encode(uint32_t length);
int64_t encase_decode(uint32_t length);
int32_t encase_frame_len(uint32_t length);

#endif
