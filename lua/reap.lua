-- Names the holds whose lease has ended, so that the caller orphans them by settle.lua, and says how far the outbox is.
--
-- KEYS[1]  clock: the watermark (read only; admit.lua keeps it)
-- KEYS[2]  state: what epoch.py says
-- KEYS[3]  holds: HASH hold id -> hold
-- KEYS[4]  due: ZSET hold id -> end of its lease (epoch ms)
-- KEYS[5]  outbox: STREAM of records on their way into the ledger
-- ARGV[1]  packed: B version, H how many at most, d now (epoch ms; 0: TIME), d epoch and d sequence last seen (0: none),
--          d lease (ms), d gap (ms): nobody has reaped for so long, so holders may not have been able to renew
-- Returns  packed: B version, B flags (8 rolled back, 16 behind, 32 closed, 64 quiet), H holds, d TIME (ms), for each
--          16 bytes id, H length, hold; then d, d the first outbox entry (ms, number; the last one's next if it is
--          empty: every entry before it is in the ledger), d epoch, d sequence, d records in the outbox
-- Complexity O(log holds + holds named)
--
-- After a stall or a restart of Redis, after a jump of its clock, and after a rebuild nothing is due for one lease. What
-- it names may be named by others too, and renewed meanwhile: settle.lua looks again.
-- Twin: proxy/metering/books.py.

local VERSION, AHEAD_MS = 1, 5000
local ROLLED_BACK, BEHIND, SHUT, QUIET = 8, 16, 32, 64

local call, read, pack = redis.call, struct.unpack, struct.pack

local _, most, given, known, seen, lease, gap = read('<BHddddd', ARGV[1])
local clock = given
if given == 0 then
  local time = call('TIME')
  clock = time[1] * 1000 + math.floor(time[2] / 1000)
end
local watermark = tonumber(call('GET', KEYS[1]) or 0)
local now = (watermark > clock and watermark - clock <= AHEAD_MS) and watermark or clock

local raw = call('GET', KEYS[2])
local closed, epoch, written, reaped, quiet = 1, 0, 0, 0, 0
if raw then closed, epoch, written, reaped, quiet = read('<Bdddd', raw) end
local flags, ids = 0, {}
if known > epoch or (known == epoch and seen > written) then
  flags = ROLLED_BACK + SHUT
  if raw then call('SETRANGE', KEYS[2], 0, '\1') end
elseif closed == 1 then
  flags = SHUT
elseif known > 0 and known < epoch then
  flags = BEHIND
else
  if now - reaped > gap or reaped - now > AHEAD_MS then quiet = now + lease end
  call('SETRANGE', KEYS[2], 17, pack('<dd', now, quiet))
  -- Leases from a clock that ran ahead get one lease from now.
  local ahead = '(' .. string.format('%.0f', now + lease + AHEAD_MS)
  for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[4], ahead, '+inf', 'LIMIT', 0, most)) do
    call('ZADD', KEYS[4], 'XX', now + lease, id)
  end
  if now < quiet then
    flags = QUIET
  else
    ids = call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, most)
  end
end

local out, found = {''}, 0
if ids[1] then
  for i, hold in ipairs(call('HMGET', KEYS[3], unpack(ids))) do
    if hold then
      found = found + 1
      out[#out + 1] = pack('<c16H', ids[i], #hold) .. hold
    end
  end
end
out[1] = pack('<BBHd', VERSION, flags, found, clock)
local first = call('XRANGE', KEYS[5], '-', '+', 'COUNT', 1)[1]
local place, beyond = first and first[1], 0
if not first and call('EXISTS', KEYS[5]) == 1 then
  local info = call('XINFO', 'STREAM', KEYS[5])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then place, beyond = info[i + 1], 1 end
  end
end
local ms, number = string.match(place or '0-0', '(%d+)-(%d+)')
out[#out + 1] = pack('<ddddd', ms, number + beyond, epoch, written, call('XLEN', KEYS[5]))
return table.concat(out)
