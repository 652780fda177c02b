-- What the framings of serial lines have in common: a byte that ends a frame, and escapes.

-- ending returns the offset behind the next byte of a value, or nil.
local function ending(tvb, at, value)
  local s = tvb(at):raw()
  local i = s:find(string.char(value), 1, true)
  return i and at + i
end

local function array(s)
  local hex = s:gsub(".", function(c) return string.format("%02x", c:byte()) end)
  return ByteArray.new(hex)
end

-- unescape takes escapes out of s: table says what stands behind an escape; a function may say so for all.
local function unescape(s, escape, meaning)
  local out, i = {}, 1
  while i <= #s do
    local c = s:byte(i)
    if c == escape then
      i = i + 1
      if i > #s then return nil end
      c = meaning(s:byte(i))
      if not c then return nil end
    end
    out[#out + 1] = string.char(c)
    i = i + 1
  end
  return table.concat(out)
end

-- little returns the number in s, least significant byte first.
local function little(s)
  local v = 0
  for i = #s, 1, -1 do v = v * 256 + s:byte(i) end
  return v
end

-- empty returns a frame that means nothing.
local function empty(n) return { length = n, items = {}, payload = ByteArray.new() } end

-- unended is for a frame whose end is not there: over a stream it may come.
local function unended(tvb, at, stream)
  if stream then return nil end
  return { length = tvb:len() - at, items = {}, wrong = "the end of the frame is missing", stop = true }
end

-- checked takes a checksum of n bytes off the end of s, and adds what it is to the items.
local function checked(frame, s, n, algorithm, field)
  if #s < n then
    frame.wrong = "shorter than its checksum"
    return nil
  end
  local have, want = little(s:sub(#s - n + 1)), checksums[algorithm](s:sub(1, #s - n))
  local item = { field = field, name = "fcs", range = frame.all, value = have }
  if have ~= want then item.wrong = string.format("must be 0x%x", want) end
  frame.items[#frame.items + 1] = item
  return s:sub(1, #s - n)
end
