-- Renews and releases concurrency leases, many in one call.
--
-- KEYS[1]  clock: the watermark (read only; admit.lua keeps it)
-- KEYS[2]  sender: sequence of this sender's last call
-- KEYS[3]  gone: ZSET lease id -> expiry (epoch ms), leases released before they were taken
-- KEYS[4…] the distinct concurrency meters named below
-- ARGV[1]  packed, little-endian:
--   call     B version, H operations, d sequence of this sender, d now (epoch ms; 0: TIME), d lease (ms)
--   each     B operation (1 renew, 2 release), H index of the meter (0: KEYS[4]), 16 bytes lease id
-- Returns  packed: B version, B flags (4 stale: nothing done), H operations, d TIME (ms), then for each
--          B 0 nothing to do (renew: it had been released; release: it was not held), 1 done, 2 renewed though the store had lost it
-- Complexity  O(operations × log leases)
--
-- A call older than the sender's last does nothing, so a late renewal brings nothing back. A release that finds nothing
-- leaves a tombstone, in case it has overtaken its take. A renewal of what is not there takes it again, even beyond the
-- capacity: the exchange lives, whatever the store has lost.

local VERSION, STALE, RENEW = 1, 4, 1
local AHEAD_MS, SPARE_MS = 5000, 6000
local TOMBSTONE_MS = 60000 -- longer than any take can be late: its deadline is a store's timeout away
local NOTHING, DONE, AGAIN = 0, 1, 2

local call, read, pack, sub = redis.call, struct.unpack, struct.pack, string.sub

local arg = ARGV[1]
local _, count, sequence, given, lease, pos = read('<BHddd', arg)
local clock = given
if given == 0 then
  local time = call('TIME')
  clock = time[1] * 1000 + math.floor(time[2] / 1000)
end
local last = call('GET', KEYS[2])
if last and tonumber(last) >= sequence then return pack('<BBHd', VERSION, STALE, 0, clock) end
local watermark = tonumber(call('GET', KEYS[1]) or 0)
local now = (watermark > clock and watermark - clock <= AHEAD_MS) and watermark or clock

local out, touched = {pack('<BBHd', VERSION, 0, count, clock)}, {}
for _ = 1, count do
  local operation, index
  operation, index, pos = read('<BH', arg, pos)
  local key, id, done = KEYS[index + 4], sub(arg, pos, pos + 15), NOTHING
  pos = pos + 16
  if operation == RENEW then
    if not call('ZSCORE', KEYS[3], id) then
      done = call('ZADD', key, now + lease, id) == 1 and AGAIN or DONE
      touched[key] = true
    end
  elseif call('ZREM', key, id) == 1 then
    done = DONE
  else
    call('ZADD', KEYS[3], now + TOMBSTONE_MS, id)
    call('PEXPIRE', KEYS[3], TOMBSTONE_MS + SPARE_MS)
  end
  out[#out + 1] = pack('<B', done)
end
for key in pairs(touched) do call('PEXPIRE', key, lease + SPARE_MS) end
call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
call('SET', KEYS[2], string.format('%.0f', sequence), 'PX', TOMBSTONE_MS)
return table.concat(out)
