//! For datagrams: a mark, the time of sending, and a random mask. In Rust without its standard library.
//!
//! ```text
//! | d7 57 | seconds since 1970, 4 bytes | mask 4 | payload, masked |
//! ```
//!
//! Numbers are big-endian. The mask is repeated over the payload. A reader ignores the time. There is no length: the
//! datagram has one.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

const MARK: [u8; 2] = [0xd7, 0x57];
const HEADER: usize = 10;
const MAX_PAYLOAD: usize = 0x7fff;
const MALFORMED: i64 = -1;

static mut BUFFER: [u8; HEADER + MAX_PAYLOAD] = [0; HEADER + MAX_PAYLOAD];

/// Milliseconds since 1970, and random bytes: the host fills them in before each call.
#[no_mangle]
pub static mut encase_now: u64 = 0;
#[no_mangle]
pub static mut encase_random: [u8; 32] = [0; 32];

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// One call runs at a time, and the host touches the buffer between calls only.
fn buffer() -> &'static mut [u8; HEADER + MAX_PAYLOAD] {
    unsafe { &mut *core::ptr::addr_of_mut!(BUFFER) }
}

fn result(offset: usize, length: usize) -> i64 {
    (offset as i64) << 32 | length as i64
}

/// Eight bytes at a time: the host counts the turns of loops.
fn apply(mask: [u8; 4], p: &mut [u8]) {
    let twice = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let mut words = p.chunks_exact_mut(8);
    for word in &mut words {
        let mut v = [0; 8];
        v.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(v) ^ twice).to_ne_bytes());
    }
    for (i, b) in words.into_remainder().iter_mut().enumerate() {
        *b ^= mask[i % 4];
    }
}

#[no_mangle]
pub extern "C" fn encase_abi() -> i32 {
    1
}

#[no_mangle]
pub extern "C" fn encase_buffer() -> *mut u8 {
    buffer().as_mut_ptr()
}

#[no_mangle]
pub extern "C" fn encase_limits(which: i32) -> i32 {
    match which {
        0 => HEADER as i32,      // HEAD
        2 => MAX_PAYLOAD as i32, // MAX
        5 => 1,                  // LENIENT: the time
        _ => 0,
    }
}

#[no_mangle]
pub extern "C" fn encase_encode(length: usize) -> i64 {
    let (now, random) = unsafe { (encase_now, encase_random) };
    let mask = [random[0], random[1], random[2], random[3]];
    if let Some(frame) = buffer().get_mut(..HEADER + length) {
        frame[..2].copy_from_slice(&MARK);
        frame[2..6].copy_from_slice(&((now / 1000) as u32).to_be_bytes());
        frame[6..HEADER].copy_from_slice(&mask);
        apply(mask, &mut frame[HEADER..]);
    }
    result(0, HEADER + length)
}

#[no_mangle]
pub extern "C" fn encase_decode(length: usize) -> i64 {
    match buffer().get_mut(..length) {
        Some(frame) if length >= HEADER && frame[..2] == MARK => {
            let mask = [frame[6], frame[7], frame[8], frame[9]];
            apply(mask, &mut frame[HEADER..]);
            result(HEADER, length - HEADER)
        }
        _ => MALFORMED,
    }
}
