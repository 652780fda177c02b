-- Frames, whatever they look like, and the TLS in them.
--
-- What follows defines unframe(tvb, at, stream), which takes one frame apart:
--
--   tvb     bytes, of which those from at on are looked at
--   stream  true if more frames may follow; false if all bytes are one datagram
--   returns a frame, or nil and how many bytes are missing at least
--
-- A frame is a table:
--
--   length   in bytes
--   items    what to show: {field =, name =, range =, value =, wrong =}; range is nil if it is not there
--   payload  a ByteArray, or nil for none
--   range    the payload as a TvbRange, if it can be seen in the frame
--   beside   a dissector of Wireshark's for a frame that is not for TLS
--   stop     true if it is not known where it ends: it takes all there is
--   wrong    what is wrong with the whole of it

local unframe, beside

local proto = Proto(NAME, TITLE)

local own = {
  length = ProtoField.uint32(NAME .. ".frame.length", "Frame length"),
  wrong = ProtoField.string(NAME .. ".frame.wrong", "Wrong"),
  beside = ProtoField.bytes(NAME .. ".frame.beside", "Not for TLS"),
  payload = ProtoField.bytes(NAME .. ".payload", "payload"),
  payload_length = ProtoField.uint32(NAME .. ".payload.length", "Payload length"),
}
local all_fields = {}
for _, f in pairs(own) do all_fields[#all_fields + 1] = f end

local function declare(f)
  all_fields[#all_fields + 1] = f
  return f
end

local refused = ProtoExpert.new(NAME .. ".refused", "A reader refuses the frame", expert.group.MALFORMED,
  expert.severity.WARN)
proto.experts = { refused }

local tls, dtls = Dissector.get("tls"), Dissector.get("dtls")

-- kind tells what the bytes of p, an array, begin as: "tls", "dtls" or nil.
local function kind(p)
  if p:len() < 2 then return nil end
  local t, major = p:get_index(0), p:get_index(1)
  if t >= 20 and t <= 25 then
    if major == 3 then return "tls" end
    if major == 0xfe then return "dtls" end
  end
  if t >= 0x20 and t <= 0x3f and p:len() > 4 then return "dtls" end -- DTLS 1.3, encrypted
  return nil
end

-- A tracker follows the records of TLS through payloads. pass returns whether they are complete behind p.
local function tracker()
  local head, left = {}, 0
  return function(p)
    local i, n = 0, p:len()
    while i < n do
      if left > 0 then
        local k = math.min(left, n - i)
        left, i = left - k, i + k
      else
        head[#head + 1] = p:get_index(i)
        i = i + 1
        if #head == 1 and (head[1] < 20 or head[1] > 25) or #head == 2 and head[2] ~= 3 then
          head = {} -- no TLS: it is shown as it is
          return true
        elseif #head == 5 then
          left = head[4] * 256 + head[5]
          head = {}
        end
      end
    end
    return left == 0 and #head == 0
  end
end

local function complain(tree, node, name, text)
  if name then text = name .. ": " .. text end
  local item = tree:add(own.wrong, text)
  item:set_generated()
  node:add_proto_expert_info(refused, text)
end

-- show adds a frame to the tree.
local function show(frame, tvb, pinfo, tree)
  local top = tree:add(proto, tvb(frame.at, frame.length))
  top:add(own.length, frame.length):set_generated()
  if frame.beside then
    top:add(own.beside, tvb(frame.at, frame.length))
    return
  end
  for _, item in ipairs(frame.items) do
    local node = top
    if item.range then
      if item.value ~= nil then
        node = top:add(item.field, item.range, item.value)
      else
        node = top:add(item.field, item.range)
      end
      if item.text then node:append_text(item.text) end
    end
    if item.size then top:add(item.size, item.count):set_generated() end
    if item.wrong then complain(top, node, item.name, item.wrong) end
  end
  if frame.payload then
    if frame.range and frame.range:len() > 0 then top:add(own.payload, frame.range) end
    top:add(own.payload_length, frame.payload:len()):set_generated()
  end
  if frame.wrong then complain(top, top, nil, frame.wrong) end
end

-- hand gives the payloads of frames to TLS, together, or to DTLS, one by one.
local function hand(frames, tvb, pinfo, tree)
  local records, last, parts = nil, nil, 0
  for _, f in ipairs(frames) do
    local p = f.payload
    if f.beside then
      f.beside:call(tvb(f.at, f.length):tvb(), pinfo, tree)
    elseif p and p:len() > 0 then
      local what = records and "tls" or kind(p)
      if what == "dtls" then
        dtls:call(f.range and f.range:tvb() or p:tvb("DTLS"), pinfo, tree)
      elseif what == "tls" then
        records = records or ByteArray.new()
        records:append(p)
        last, parts = f, parts + 1
      end
    end
  end
  if parts == 1 and last.range then
    tls:call(last.range:tvb(), pinfo, tree)
  elseif parts > 0 then
    tls:call(records:tvb("TLS in frames"), pinfo, tree)
  end
end

local function display(frames, tvb, pinfo, tree)
  for _, f in ipairs(frames) do show(f, tvb, pinfo, tree) end
  hand(frames, tvb, pinfo, tree)
end

-- datagram takes one frame.
local function datagram(tvb, pinfo, tree)
  local frame = unframe(tvb, 0, false)
  if not frame then return 0 end
  frame.at = 0
  display({ frame }, tvb, pinfo, tree)
  return tvb:len()
end

-- stream takes as many frames as hold whole records, and asks for more bytes from where the next begin.
local function stream(tvb, pinfo, tree)
  local at, size = 0, tvb:len()
  local done, open = {}, {} -- frames up to the last border of records, and those behind it
  local pass, resume = tracker(), nil
  while at < size do
    local frame = unframe(tvb, at, true)
    if not frame or frame.length > size - at then
      resume = at
      break
    end
    frame.at = at
    at = at + frame.length
    open[#open + 1] = frame
    local border = #open == 1 -- what is not for TLS may stand between two parts of a record
    if frame.payload then border = pass(frame.payload) end
    if border or frame.stop then
      for _, f in ipairs(open) do done[#done + 1] = f end
      open = {}
    end
    if frame.stop then break end
  end
  if #open > 0 then resume = open[1].at end
  if resume and pinfo.can_desegment == 0 then
    for _, f in ipairs(open) do done[#done + 1] = f end
    resume = nil
  end
  display(done, tvb, pinfo, tree)
  if resume then
    pinfo.desegment_offset = resume
    pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
  end
  return size
end

local TCP = 2 -- of pinfo.port_type

function proto.dissector(tvb, pinfo, tree)
  if tvb:len() == 0 then return 0 end
  pinfo.cols.protocol = TITLE
  pinfo.cols.info = TITLE .. " frame"
  if pinfo.port_type == TCP then return stream(tvb, pinfo, tree) end
  return datagram(tvb, pinfo, tree)
end
