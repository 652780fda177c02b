proto.fields = all_fields

for name, ports in pairs({ ["tcp.port"] = TCP_PORTS, ["udp.port"] = UDP_PORTS }) do
  local ports_of = DissectorTable.get(name)
  ports_of:add_for_decode_as(proto)
  if ports ~= "" then ports_of:add(ports, proto) end
end
