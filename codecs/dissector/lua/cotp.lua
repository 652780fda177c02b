-- Beside data there are the other TPDUs, such as those that connect. What TPKT is, Wireshark knows.

function beside(tvb, at, stream)
  local have = tvb:len() - at
  if tvb(at, 1):uint() ~= 3 then return nil end
  if have < 6 then return 6 end
  if tvb(at + 5, 1):uint() == 0xf0 then return nil end
  return tvb(at + 2, 2):uint(), Dissector.get("tpkt")
end
