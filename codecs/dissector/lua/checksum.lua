-- Checksums of strings.

local bits = bit32 or bit
local bxor, band, rshift, lshift = bits.bxor, bits.band, bits.rshift, bits.lshift

-- unsigned undoes what a library with signed results does.
local function unsigned(v) return v % 0x100000000 end

-- reflected is a CRC that takes the least significant bit first.
local function reflected(polynomial, initial, final)
  local t = {}
  for v = 0, 255 do
    local r = v
    for _ = 1, 8 do
      local odd = r % 2 == 1
      r = unsigned(rshift(r, 1))
      if odd then r = unsigned(bxor(r, polynomial)) end
    end
    t[v] = r
  end
  return function(s)
    local r = initial
    for i = 1, #s do
      r = unsigned(bxor(unsigned(rshift(r, 8)), t[band(bxor(r, s:byte(i)), 0xff)]))
    end
    return unsigned(bxor(r, final))
  end
end

-- straight is a CRC of 16 bits that takes the most significant bit first.
local function straight(polynomial, initial)
  return function(s)
    local r = initial
    for i = 1, #s do
      r = bxor(r, lshift(s:byte(i), 8))
      for _ = 1, 8 do
        local high = band(r, 0x8000) ~= 0
        r = band(lshift(r, 1), 0xffff)
        if high then r = bxor(r, polynomial) end
      end
    end
    return unsigned(r)
  end
end

local function sum16(s)
  local sum = 0
  for i = 1, #s, 2 do
    sum = sum + s:byte(i) * 256 + (s:byte(i + 1) or 0)
    if sum > 0xffff then sum = sum - 0xffff end
  end
  return 0xffff - sum
end

local function xor8(s)
  local r = 0
  for i = 1, #s do r = bxor(r, s:byte(i)) end
  return unsigned(r)
end

local checksums = {
  ["crc16-arc"] = reflected(0xa001, 0, 0),
  ["crc16-ccitt-false"] = straight(0x1021, 0xffff),
  ["crc16-kermit"] = reflected(0x8408, 0, 0),
  ["crc16-modbus"] = reflected(0xa001, 0xffff, 0),
  ["crc16-x25"] = reflected(0x8408, 0xffff, 0xffff),
  ["crc16-xmodem"] = straight(0x1021, 0),
  ["crc32"] = reflected(0xedb88320, 0xffffffff, 0xffffffff),
  ["crc32c"] = reflected(0x82f63b78, 0xffffffff, 0xffffffff),
  ["sum16"] = sum16,
  ["xor8"] = xor8,
}
