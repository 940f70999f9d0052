-- Closes budgets, sets what the ledger says has been settled, and opens them again under a new epoch.
--
-- KEYS[1]  clock: the watermark (read only; admit.lua keeps it)
-- KEYS[2]  state: what epoch.py says
-- KEYS[3…] counters of budgets, each of one period
-- ARGV[1]  packed: B version, H counters, B what (1 close, 2 set, 4 open; 6: set, then open), d now (epoch ms; 0: TIME),
--          d sequence at which the caller has read what it sets (set, open), d random (0…1023), d epoch last seen,
--          d lease (ms); for each counter d settled, d end of its period (epoch ms)
-- Returns  packed: B version, B flags (32 closed, 128 nothing done: not closed, or written to since), H 0, d TIME (ms),
--          d epoch, d sequence, d 0
-- Complexity O(counters)
--
-- While it is closed gateways post again what they have journaled. Each such call moves the sequence, and then what the
-- caller has read of ledger and outbox is no longer all: it has to read again. So of two who rebuild at once, one
-- finishes. What is held is kept: a counter's held is what the holds say, in every state a store can come back with.
-- An epoch is TIME × 1024 + random, and above every one known: of two, the later is the greater.
-- Twin: proxy/metering/books.py.

local VERSION, AHEAD_MS = 1, 5000
local CLOSE, SET, OPEN = 1, 2, 4
local SHUT, UNDONE = 32, 128
local HOLD = 5
local KEEP_MS = 35 * 86400000

local call, read, pack = redis.call, struct.unpack, struct.pack

local _, count, what, given, at, random, known, lease, pos = read('<BHBddddd', ARGV[1])
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
local flags = 0
if what == CLOSE then
  closed = 1
elseif closed == 0 or not raw or written ~= at then
  flags = UNDONE
else
  local olds = count > 0 and call('MGET', unpack(KEYS, 3)) or {}
  for i = 1, count do
    local settled, ends
    settled, ends, pos = read('<dd', ARGV[1], pos)
    local held = 0
    if olds[i] then
      local _, _, was = read('<Bdd', olds[i])
      held = was
    end
    call('SET', KEYS[i + 2], pack('<Bdd', HOLD, settled, held), 'PX', math.max(0, ends - now) + KEEP_MS)
  end
  if what >= OPEN then
    epoch = math.max(clock * 1024 + random, epoch + 1, known + 1)
    closed, reaped, quiet = 0, now, now + lease
  end
end
if flags == 0 then
  written = written + 1
  call('SET', KEYS[2], pack('<Bdddd', closed, epoch, written, reaped, quiet))
end
if closed == 1 then flags = flags + SHUT end
return pack('<BBHdddd', VERSION, flags, 0, clock, epoch, written, 0)
