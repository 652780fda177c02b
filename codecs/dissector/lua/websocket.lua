-- WebSocket, https://www.rfc-editor.org/rfc/rfc6455.html#section-5.2, behind its upgrade.

local bits = bit32 or bit

local f_upgrade = declare(ProtoField.string(NAME .. ".upgrade", "upgrade"))
local f_final = declare(ProtoField.uint8(NAME .. ".fin", "fin"))
local f_reserved = declare(ProtoField.uint8(NAME .. ".rsv", "rsv"))
local f_opcode = declare(ProtoField.uint8(NAME .. ".opcode", "opcode", base.HEX, { [0] = "continuation", [1] = "text",
  [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong" }))
local f_masked = declare(ProtoField.uint8(NAME .. ".mask", "mask"))
local f_length = declare(ProtoField.uint64(NAME .. ".length", "length"))
local f_key = declare(ProtoField.bytes(NAME .. ".key", "key"))

-- upgrade takes the request or the response that comes before the frames.
local function upgrade(tvb, at)
  local s = tvb(at):raw()
  local _, last = s:find("\r\n\r\n", 1, true)
  if not last then return nil end
  return { length = last, payload = ByteArray.new(), items = {
    { field = f_upgrade, range = tvb(at, last), value = s:sub(1, (s:find("\r\n", 1, true)) - 1) } } }
end

-- unmask returns the payload without the mask.
local function unmask(range, key)
  local s, out = range:raw(), {}
  for i = 1, #s do
    local k = key(( i - 1) % 4, 1):uint()
    out[i] = string.format("%02x", bits.bxor(s:byte(i), k))
  end
  return ByteArray.new(table.concat(out))
end

function unframe(tvb, at, stream)
  local have = tvb:len() - at
  if have < 2 then return nil end
  local start = tvb(at, math.min(have, 5)):raw()
  if start:sub(1, 4) == "GET " or start == "HTTP/" then return upgrade(tvb, at) end
  local n, head = tvb(at + 1, 1):bitfield(1, 7), 2
  local wide = ({ [126] = 2, [127] = 8 })[n] or 0
  if have < 2 + wide then return nil end
  local field = tvb(at + 1, 1)
  if wide > 0 then
    field = tvb(at + 2, wide)
    n, head = field:uint64():tonumber(), 2 + wide
  end
  local masked = tvb(at + 1, 1):bitfield(0, 1)
  local key = nil
  if masked == 1 then
    if have < head + 4 then return nil end
    key = tvb(at + head, 4)
    head = head + 4
  end
  if head + n > have then return nil end
  local first = tvb(at, 1)
  local frame = { length = head + n, payload = ByteArray.new(), items = {
    { field = f_final, range = first, value = first:bitfield(0, 1) },
    { field = f_reserved, name = "rsv", range = first, value = first:bitfield(1, 3) },
    { field = f_opcode, range = first, value = first:bitfield(4, 4) },
    { field = f_masked, range = tvb(at + 1, 1), value = masked },
    { field = f_length, range = field, value = UInt64.new(n % 0x100000000, math.floor(n / 0x100000000)) },
  } }
  if first:bitfield(1, 3) ~= 0 then frame.items[2].wrong = "must be 0" end
  if key then frame.items[#frame.items + 1] = { field = f_key, range = key } end
  local opcode = first:bitfield(4, 4)
  if n > 0 and (opcode == 0 or opcode == 2) then
    local range = tvb(at + head, n)
    if key then
      frame.payload = unmask(range, key)
    else
      frame.range, frame.payload = range, range:bytes()
    end
  end
  return frame
end
