-- COBS, https://www.stuartcheshire.org/papers/COBSforToN.pdf

local width = tonumber(OPTIONS.crc or "0") / 8
local algorithm = width == 4 and "crc32" or "crc16-x25"
local f_sum = declare(ProtoField.uint32(NAME .. ".fcs", "fcs", base.HEX))

-- unstuff takes blocks apart; nil if the last one is cut short.
local function unstuff(s)
  local out, i = {}, 1
  while i <= #s do
    local code = s:byte(i)
    if i + code - 1 > #s then return nil end
    out[#out + 1] = s:sub(i + 1, i + code - 1)
    i = i + code
    if code < 0xff and i <= #s then out[#out + 1] = "\0" end
  end
  return table.concat(out)
end

function unframe(tvb, at, stream)
  local behind = ending(tvb, at, 0)
  if not behind then return unended(tvb, at, stream) end
  local frame = empty(behind - at)
  if behind - at == 1 then return frame end -- a zero without a frame in front of it
  frame.all = tvb(at, behind - at)
  local s = unstuff(tvb(at, behind - 1 - at):raw())
  if not s then
    frame.wrong = "the last block is cut short"
    return frame
  end
  if width > 0 then s = checked(frame, s, width, algorithm, f_sum) end
  if s then frame.payload = array(s) end
  return frame
end
