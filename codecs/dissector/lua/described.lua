-- Frames of a description: FIELDS in their order, and what LAYOUT says of them.

local function protofield(f)
  local abbreviation = NAME .. "." .. f.filter
  if f.kind == "fill" then
    f.size = declare(ProtoField.uint32(abbreviation .. ".length", f.name .. " length"))
    return declare(ProtoField.bytes(abbreviation, f.name))
  end
  for _, t in ipairs({ { 8, ProtoField.uint8 }, { 16, ProtoField.uint16 }, { 24, ProtoField.uint24 },
    { 32, ProtoField.uint32 }, { 64, ProtoField.uint64 } }) do
    if f.bits <= t[1] then return declare(t[2](abbreviation, f.name, base.HEX_DEC)) end
  end
end

for _, f in ipairs(FIELDS) do
  if f.kind ~= "data" then f.field = protofield(f) end
end

local function padding(n) return (LAYOUT.align - n % LAYOUT.align) % LAYOUT.align end

-- arrange returns where the parts lie around a payload of n bytes.
local function arrange(n)
  local l = { header = 0, payload = LAYOUT.header, trailer = LAYOUT.header + n, pad = 0 }
  l.closing = l.trailer + LAYOUT.trailer
  if LAYOUT.align > 0 then
    l.pad = padding(l.closing)
    l.closing = l.closing + l.pad
  end
  l.size = l.closing + LAYOUT.closing
  return l
end

-- read returns the bytes that a field lies in, and its value.
local function read(tvb, part, f)
  local first = part + math.floor(f.offset / 8)
  local last = part + math.floor((f.offset + f.bits - 1) / 8)
  local range = tvb(first, last - first + 1)
  if f.le then
    return range, f.bits <= 32 and range:le_uint() or range:le_uint64()
  end
  return range, range:bitfield(f.offset % 8, f.bits)
end

local function number(v)
  if type(v) == "number" then return v end
  return v:tonumber()
end

local length_field
for _, f in ipairs(FIELDS) do
  if f.kind == "length" then length_field = f end
end

-- announced returns the length of the payload that the header says, or nil and why that cannot be.
local function announced(tvb, at)
  local _, v = read(tvb, at, length_field)
  local n = number(v) - LAYOUT.base
  if n < 0 or n > LAYOUT.max then
    return nil, string.format("out of range: %.0f to %.0f are possible", LAYOUT.base, LAYOUT.base + LAYOUT.max)
  end
  return n
end

-- locate returns the layout of a frame, or nil and what is wrong with its length, or both.
local function locate(tvb)
  local have = tvb:len()
  if have < LAYOUT.header then return nil end
  local n, wrong
  if length_field then
    n, wrong = announced(tvb, 0)
    if not n then return nil, wrong end
  else
    n = have - LAYOUT.header - LAYOUT.trailer - LAYOUT.closing
    if n < 0 then return nil end
    if n > LAYOUT.max then wrong = string.format("longer than %.0f bytes", LAYOUT.max) end
  end
  local l = arrange(n)
  if l.size ~= have then
    return nil, string.format("says that the frame has %.0f bytes, it has %.0f", l.size, have)
  end
  return l, wrong
end

-- place returns where a field begins, in bytes of its part, and whether it is there.
local function place(f, l, have)
  if f.part == "header" then return 0, f.offset + f.bits <= have * 8 end
  if not l then return 0, false end
  return l[f.part], true
end

-- border returns the offset of the first byte of field f, or of the one behind it.
local function border(f, l, behind)
  if f.kind == "data" then return behind and l.trailer or l.payload end
  if f.part == "padding" then return behind and l.closing or l.closing - l.pad end
  return l[f.part] + math.floor((f.offset + (behind and f.bits or 0)) / 8)
end

-- sum computes the checksum that field f should be. Its own bytes count as zero.
local function sum(f, tvb, l)
  local from, to = border(FIELDS[f.first], l, false), border(FIELDS[f.last], l, true)
  local s = to > from and tvb(from, to - from):raw() or ""
  local at = border(f, l, false) - from
  local width = f.bits / 8
  if f.covers_own then s = s:sub(1, at) .. string.rep("\0", width) .. s:sub(at + width + 1) end
  return checksums[f.algorithm](s)
end

local function zeros(range) return not range:raw():find("[^\0]") end

-- filled returns the item of padding.
local function filled(f, tvb, l)
  local item = { field = f.field, name = f.name }
  local from, n
  if f.part == "header" then
    from, n = f.offset / 8, f.bits / 8
    if from + n > tvb:len() then from = nil end
  elseif l then
    from, n = l.closing - l.pad, l.pad
  end
  if not from then
    item.wrong = "missing"
    return item
  end
  item.size, item.count = f.size, n
  if n > 0 then
    item.range = tvb(from, n)
    if f.checked and not zeros(item.range) then item.wrong = "must be zero" end
  end
  return item
end

-- explain returns the items of a frame that takes all of tvb, and where its payload lies. The sender is the one that
-- makes less of it wrong.
local function explain(tvb)
  local l, length_wrong = locate(tvb)
  local have = tvb:len()
  local items, mistakes = {}, { client = 0, server = 0 }
  local from, to = LAYOUT.header, l and l.trailer or have
  for _, f in ipairs(FIELDS) do
    local item
    if f.kind == "fill" then
      item = filled(f, tvb, l)
    elseif f.kind == "data" then
      item = { name = f.name }
      if from > to then item.wrong = "missing" end
      if from <= to and not length_field then item.wrong = length_wrong end
    else
      item = { field = f.field, name = f.name, text = f.text }
      local part, there = place(f, l, have)
      if there then
        item.range, item.value = read(tvb, part, f)
      else
        item.wrong = "missing"
      end
      if there and f.kind == "constant" then
        for _, role in ipairs({ "client", "server" }) do
          local want = f[role]
          if want and want.value ~= item.value then
            mistakes[role] = mistakes[role] + 1
            item[role] = "must be " .. want.text
          end
        end
      elseif there and f.kind == "length" then
        item.wrong = length_wrong
      elseif there and f.kind == "checksum" and l then
        local want = sum(f, tvb, l)
        if want ~= item.value then item.wrong = string.format("must be 0x%x", want) end
      end
    end
    items[#items + 1] = item
  end
  local role = mistakes.server < mistakes.client and "server" or "client"
  for _, item in ipairs(items) do item.wrong = item.wrong or item[role] end
  return items, from, to
end

-- made returns the frame that takes n bytes.
local function made(tvb, at, n)
  local sub = tvb(at, n):tvb()
  local items, from, to = explain(sub)
  local frame = { length = n, items = items }
  if from <= to then
    frame.payload = to > from and sub(from, to - from):bytes() or ByteArray.new()
    frame.range = to > from and sub(from, to - from) or nil
  end
  return frame
end

-- begins reports whether the constants in front of the end of the length are those of one of the ends.
local function begins(tvb, at)
  for _, role in ipairs({ "client", "server" }) do
    local right = true
    for _, f in ipairs(FIELDS) do
      if f.kind == "constant" and f.part == "header" and f.offset + f.bits <= LAYOUT.front * 8 and f[role] then
        local _, v = read(tvb, at, f)
        right = right and v == f[role].value
      end
    end
    if right then return true end
  end
  return false
end

function unframe(tvb, at, stream)
  local have = tvb:len() - at
  if beside then
    local n, dissector = beside(tvb, at, stream)
    if n and n > have then return nil end
    if n and dissector then return { length = n, beside = dissector } end
    if n then return nil end
  end
  if not stream or not length_field then return made(tvb, at, have) end
  if have < LAYOUT.front then return nil end
  local n = begins(tvb, at) and announced(tvb, at)
  if not n then
    local frame = made(tvb, at, have)
    frame.stop, frame.payload, frame.range = true, nil, nil
    return frame
  end
  local size = arrange(n).size
  if size > have then return nil end
  return made(tvb, at, size)
end
