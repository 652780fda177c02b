-- SLIP, https://www.rfc-editor.org/rfc/rfc1055.html

local END, ESC = 0xc0, 0xdb
local meanings = { [0xdc] = END, [0xdd] = ESC }

function unframe(tvb, at, stream)
  local start = at
  while at < tvb:len() and tvb(at, 1):uint() == END do at = at + 1 end
  if at == tvb:len() then return empty(at - start) end
  local behind = ending(tvb, at, END)
  if not behind then return unended(tvb, start, stream) end
  local frame = empty(behind - start)
  local s = unescape(tvb(at, behind - 1 - at):raw(), ESC, function(c) return meanings[c] end)
  if s then
    frame.payload = array(s)
    if #s == behind - 1 - at then frame.range = tvb(at, #s) end
  else
    frame.wrong = "an escape means nothing"
  end
  return frame
end
