-- Beside ChannelData there is STUN, which begins with two bits that are zero.

function beside(tvb, at, stream)
  local have = tvb:len() - at
  if tvb(at, 1):bitfield(0, 2) ~= 0 then return nil end
  if not stream then return have, Dissector.get("stun-udp") end
  if have < 4 then return 4 end
  return 20 + tvb(at + 2, 2):uint(), Dissector.get("stun-udp")
end
