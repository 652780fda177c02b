-- A length in base 128, least significant group first, between constant bytes.

local f_prefix = declare(ProtoField.bytes(NAME .. ".prefix", "prefix"))
local f_field = declare(ProtoField.uint64(NAME .. ".length", "length", base.HEX_DEC))
local f_suffix = declare(ProtoField.bytes(NAME .. ".suffix", "suffix"))

-- filler returns the constant bytes of an option: values, and false where a reader ignores them.
local function filler(s)
  local bytes = {}
  for ignored, digits in (s or ""):gmatch("(~?)(%x%x)") do
    bytes[#bytes + 1] = ignored == "" and tonumber(digits, 16) or false
  end
  return bytes
end

local prefix, suffix = filler(OPTIONS.prefix), filler(OPTIONS.suffix)
local base_length = #suffix - tonumber(OPTIONS.adjust or "0")

local function matches(tvb, at, bytes)
  for i, want in ipairs(bytes) do
    if want and tvb(at + i - 1, 1):uint() ~= want then return false end
  end
  return true
end

-- varint returns the value at a place and how many bytes it takes; nil if it does not end.
local function varint(tvb, at)
  local v, scale = 0, 1
  for n = 1, 5 do
    if at + n > tvb:len() then return nil, n end
    local b = tvb(at + n - 1, 1):uint()
    v, scale = v + (b % 128) * scale, scale * 128
    if b < 128 then return v, n end
  end
  return nil, 0
end

-- bad returns a frame that takes all there is.
local function bad(tvb, at, why)
  return { length = tvb:len() - at, items = {}, wrong = why, stop = true }
end

function unframe(tvb, at, stream)
  local have = tvb:len() - at
  if have <= #prefix then
    if stream then return nil end
    return bad(tvb, at, "shorter than its header")
  end
  if not matches(tvb, at, prefix) then return bad(tvb, at, "a constant byte of the header is wrong") end
  local v, n = varint(tvb, at + #prefix)
  if not v and n > 0 and stream then return nil end
  if not v or n > 1 and tvb(at + #prefix + n - 1, 1):uint() == 0 then
    return bad(tvb, at, "the varint is longer than it needs to be, or does not end")
  end
  local head, payload = #prefix + n + #suffix, v - base_length
  if payload < 0 then return bad(tvb, at, "the length field says less than the header takes") end
  if head + payload > have then
    if stream then return nil end
    return bad(tvb, at, "not as long as its length field says")
  end
  if not stream and head + payload < have then return bad(tvb, at, "not as long as its length field says") end
  local items = {}
  if #prefix > 0 then items[1] = { field = f_prefix, range = tvb(at, #prefix) } end
  items[#items + 1] = { field = f_field, range = tvb(at + #prefix, n), value = UInt64.new(v % 0x100000000,
    math.floor(v / 0x100000000)) }
  if #suffix > 0 then items[#items + 1] = { field = f_suffix, range = tvb(at + #prefix + n, #suffix) } end
  local frame = { length = head + payload, items = items, payload = ByteArray.new() }
  if not matches(tvb, at + #prefix + n, suffix) then frame.wrong = "a constant byte of the header is wrong" end
  if payload > 0 then
    frame.range = tvb(at + head, payload)
    frame.payload = frame.range:bytes()
  end
  return frame
end
