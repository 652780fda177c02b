-- HDLC-like framing of PPP, https://www.rfc-editor.org/rfc/rfc1662.html#section-4

local FLAG, ESC = 0x7e, 0x7d
local width = OPTIONS.fcs == "32" and 4 or 2
local algorithm = width == 4 and "crc32" or "crc16-x25"
local header = OPTIONS.header or "ff03"
if header == "none" then header = "" end

local f_header = declare(ProtoField.bytes(NAME .. ".header", "header"))
local f_fcs = declare(ProtoField.uint32(NAME .. ".fcs", "fcs", base.HEX))

local function text(s) return (s:gsub(".", function(c) return string.format("%02x", c:byte()) end)) end

-- plain drops the control characters that equipment on the way may have put in.
local accm = tonumber(OPTIONS.accm or "0", 16)
local function plain(s)
  if accm == 0 then return s end
  return (s:gsub("[\0-\31]", function(c)
    return math.floor(accm / 2 ^ c:byte()) % 2 == 1 and "" or c
  end))
end

function unframe(tvb, at, stream)
  local start = at
  while at < tvb:len() and tvb(at, 1):uint() == FLAG do at = at + 1 end
  if at == tvb:len() then return empty(at - start) end
  local behind = ending(tvb, at, FLAG)
  if not behind then return unended(tvb, start, stream) end
  local frame = empty(behind - start)
  frame.all = tvb(at, behind - at)
  local stuffed = plain(tvb(at, behind - 1 - at):raw())
  local s = unescape(stuffed, ESC, function(c) return math.floor(c / 32) % 2 == 1 and c - 32 or c + 32 end)
  if not s or #s < #header / 2 + width then return frame end -- aborted, or noise: it means nothing
  s = checked(frame, s, width, algorithm, f_fcs)
  local front = s:sub(1, #header / 2)
  table.insert(frame.items, 1, { field = f_header, name = "header", range = tvb(at, math.min(#front, behind - at)) })
  if text(front) ~= header then frame.items[1].wrong = "must be " .. header end
  frame.payload = array(s:sub(#front + 1))
  return frame
end
