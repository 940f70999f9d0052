-- Decides a batch of admissions: each takes from all of its meters or from none.
--
-- KEYS[1]  clock: the watermark, the latest time any script has used (decimal epoch ms)
-- KEYS[2]  sender: sequence and reply of this sender's last batch
-- KEYS[3]  gone: ZSET lease id -> expiry (epoch ms), leases released before they were taken
-- KEYS[4…] the distinct meters of the batch, and its tombstones; with holds at the end four more:
--          state (epoch.py), holds: HASH hold id -> hold, due: ZSET hold id -> end of its lease (epoch ms), outbox: STREAM
-- ARGV[1]  packed, little-endian, doubles that hold whole numbers below 2^53:
--   batch     B version (1, with holds 2), H decisions, d sequence of this sender, d now (epoch ms; 0: TIME),
--             d memory of replies (ms); with holds d epoch and d sequence last seen (0: none), d bound of the outbox
--   decision  d deadline (epoch ms of TIME; 0: none), B takes, B has (1 a lease, 2 a hold), [16 bytes lease id], [hold],
--             takes × H index of the meter (0: KEYS[4]),
--   take      B kind, B shadow, d amount, d capacity, and by kind d a, d b, d c:
--     1 WINDOW       a window (ms), b width of a sub-window (ms, a power of two)
--     2 SMOOTH       a leak per ms, b scale: levels are amount × scale; capacity is the burst
--     3 CALENDAR     a this period's start, b the next one's, c the one after's (epoch ms)
--     4 CONCURRENCY  a lease (ms)
--     5 HOLD         a this period's start, b the next one's, c the one after's (epoch ms): its own meter each period
--   hold      H index of its tombstones, B place in them, 16 bytes id, B state (1 held, 2 sent), d lease (ms),
--             B how many of the takes, the last ones, are held, as many H index of the next period's meter (itself where
--             there is none), H length, bytes that are kept for the reaper
-- Returns  packed: B version, B flags (1 clock reset, 2 clock clamped, 4 stale: nothing decided), H decisions, d TIME (ms);
--             (8 rolled back, 16 behind, 32 closed: see epoch.py)
--   decision  B outcome (1 admitted, 2 refused, 3 impossible, 4 expired, 5 cancelled, 6 closed, 7 outbox full), then takes
--   take      B verdict (0 fits, 1 not now, 2 never), d remaining, d delay (ms: until it would fit if nothing is given
--             back when it does not; else until more is free)
--   hold      d when it was taken (ms; 0: it was not), then for each held take d settled, d held (HOLD; else 0)
--   with holds at the end d epoch, d sequence, d records in the outbox
-- Complexity  O(takes), plus the sub-windows (≤ 102, or 64 exact times) of a meter whose head moves or that refuses.
--
-- Everything is loaded, then decided on tables, then written: a script that fails half-way has written nothing. What is
-- written is what was taken, and the healing of state that lies in the future: a full meter from a clock that ran ahead
-- refuses, and would be seen there for ever if only takes were written.
-- A hold in shadow is taken even where it does not fit: it refuses nothing, but what is spent has to be counted.
-- Twin: proxy/metering/reference.py. The two move together; tests/lua holds them to each other.

local VERSION = 1
local AHEAD_MS = 5000 -- a watermark further ahead of TIME than this was a jump of the clock
local SPARE_MS = 6000 -- keys outlive their state by more than AHEAD_MS, since a clamped now runs ahead of expiry's clock
local RETRY_MS = 1000 -- nobody can know when a request in flight will end
local FITS, NOT_NOW, NEVER = 0, 1, 2
local ADMITTED, REFUSED, IMPOSSIBLE, EXPIRED, CANCELLED, CLOSED, OUTBOX_FULL = 1, 2, 3, 4, 5, 6, 7
local WINDOW, SMOOTH, CALENDAR, CONCURRENCY, HOLD = 1, 2, 3, 4, 5
local KEEP_MS = 35 * 86400000 -- a period's counter outlives it by this

local call, read, pack, byte, sub = redis.call, struct.unpack, struct.pack, string.byte, string.sub
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

-- WINDOW: a header (B kind, I4 width, I6 kept until, I6 current sub-window, I6 its amount, I6 amount in older ones,
-- I6 oldest of those), then (I6 sub-window, I6 amount) of the older ones, oldest first. Sub-window n is the
-- milliseconds n×width … (n+1)×width-1; it counts until its last millisecond has left the window. Exact times are
-- sub-windows one millisecond wide.
local HEAD, HEAD_BYTES, ENTRY, ENTRY_BYTES = '<BI4I6I6I6I6I6', 35, '<I6I6', 12

-- Brings all that a window holds to another width, or back from the future. A wide sub-window becomes the last narrow
-- one in it: it counts for as long as its latest possible take would. Widths nest, so there and back does not drift.
local function rebuild(m, width, current)
  local subs, amounts, n = {}, {}, 0
  local function add(index, amount)
    if amount <= 0 then return end
    if width > m.width then
      index = floor(index * m.width / width)
    elseif width < m.width then
      index = (index + 1) * (m.width / width) - 1
    end
    index = min(index, current)
    if n > 0 and subs[n] == index then
      amounts[n] = amounts[n] + amount
    else
      n = n + 1
      subs[n], amounts[n] = index, amount
    end
  end
  for at = m.first, #m.body, ENTRY_BYTES do
    add(read(ENTRY, m.body, at))
  end
  add(m.current, m.amount)
  m.width, m.first, m.older, m.oldest, m.moved = width, 1, 0, 0, true
  m.current, m.amount = current, 0
  local parts = {}
  for i = 1, n do
    if subs[i] == current then
      m.amount = amounts[i]
    else
      parts[i] = pack(ENTRY, subs[i], amounts[i])
      m.older = m.older + amounts[i]
    end
  end
  if parts[1] then m.oldest = subs[1] end
  m.body = table.concat(parts)
end

local function leaves(m, index, t, now) return (index + 1) * m.width - 1 + t.a - now end

local window = {
  load = function(raw)
    local _, width, keep, current, amount, older, oldest = read(HEAD, raw)
    return {kind = WINDOW, width = width, keep = keep, current = current, amount = amount, older = older,
            oldest = oldest, body = raw, first = HEAD_BYTES + 1, moved = false}
  end,
  start = function(t, amount, latest)
    local current = floor(latest / t.b)
    return {kind = WINDOW, width = t.b, keep = 0, need = (current + 1) * t.b - 1 + t.a, current = current,
            amount = amount, older = 0, oldest = 0, body = '', first = 1, moved = true}
  end,
  held = function(m) return m.older + m.amount, (m.current + 1) * m.width - 1 end,
  room = function(m, t, now)
    local current = floor(now / t.b)
    if m.current * m.width > now then
      m.healed, m.keep, m.need = true, 0, (current + 1) * t.b - 1 + t.a
    end
    if m.width ~= t.b or m.healed then rebuild(m, t.b, current) end
    if m.current < current then
      if m.amount > 0 then
        if m.older == 0 then m.oldest = m.current end
        m.body = m.body .. pack(ENTRY, m.current, m.amount)
        m.older = m.older + m.amount
      end
      m.current, m.amount, m.moved = current, 0, true
    end
    while m.older > 0 and leaves(m, m.oldest, t, now) <= 0 do
      local _, amount = read(ENTRY, m.body, m.first)
      m.older, m.first, m.moved = m.older - amount, m.first + ENTRY_BYTES, true
      m.oldest = m.older > 0 and read('<I6', m.body, m.first) or 0
    end
    return t.capacity - m.older - m.amount
  end,
  wait = function(m, t, now, missing)
    for at = m.first, #m.body, ENTRY_BYTES do
      local index, amount = read(ENTRY, m.body, at)
      missing = missing - amount
      if missing <= 0 then return leaves(m, index, t, now) end
    end
    return leaves(m, m.current, t, now)
  end,
  take = function(m, t)
    m.amount = m.amount + t.amount
    m.need = max(m.need or 0, (m.current + 1) * m.width - 1 + t.a)
  end,
  reset = function(m, t, now)
    if m.older > 0 then return leaves(m, m.oldest, t, now) end
    return m.amount > 0 and leaves(m, m.current, t, now) or 0
  end,
  store = function(m, key, now)
    local keep = max(m.keep, m.need or 0)
    local head = pack(HEAD, WINDOW, m.width, keep, m.current, m.amount, m.older, m.oldest)
    if m.moved or keep > m.keep then
      call('SET', key, head .. sub(m.body, m.first), 'PX', keep - now + SPARE_MS)
    else
      call('SETRANGE', key, 0, head)
    end
  end,
}

-- SMOOTH: B kind, d level, d at, d leak, d scale. A leaky bucket as a meter, which is GCRA with its arrival time
-- written as a level (ITU-T I.371 A.1): level falls by leak each ms, a take adds amount × scale. All whole numbers.
local smooth = {
  load = function(raw)
    local _, level, at, leak, scale = read('<Bdddd', raw)
    return {kind = SMOOTH, level = level, at = at, leak = leak, scale = scale}
  end,
  start = function(t, amount, latest)
    return {kind = SMOOTH, level = min(amount, t.capacity) * t.b, at = latest, leak = t.a, scale = t.b}
  end,
  held = function(m) return ceil(m.level / m.scale), m.at end,
  room = function(m, t, now)
    m.level = max(0, m.level - max(0, now - m.at) * m.leak)
    m.healed = m.healed or m.at > now
    m.at = now
    if m.scale ~= t.b then m.level = ceil(m.level * t.b / m.scale) end
    m.leak, m.scale = t.a, t.b
    m.level = min(m.level, t.capacity * t.b)
    return t.capacity - ceil(m.level / m.scale)
  end,
  wait = function(m, t) return ceil((m.level - (t.capacity - t.amount) * m.scale) / m.leak) end,
  take = function(m, t) m.level = m.level + t.amount * m.scale end,
  reset = function(m) return ceil(m.level / m.leak) end,
  store = function(m, key)
    call('SET', key, pack('<Bdddd', SMOOTH, m.level, m.at, m.leak, m.scale), 'PX', ceil(m.level / m.leak) + SPARE_MS)
  end,
}

-- CALENDAR: B kind, d time of the last take, d count. The count belongs to the period that the last take lies in.
local calendar = {
  load = function(raw)
    local _, last, count = read('<Bdd', raw)
    return {kind = CALENDAR, last = last, count = count}
  end,
  start = function(_, amount, latest) return {kind = CALENDAR, last = latest, count = amount} end,
  held = function(m) return m.count, m.last end,
  room = function(m, t, now)
    -- Before the period that the gateway believes in (its clock is ahead of ours) nothing is forgotten.
    local start = now >= t.b and t.b or t.a
    m.ends = now < t.a and t.a or now < t.b and t.b or t.c
    m.healed = m.healed or m.last > now
    m.last = min(m.last, now)
    if m.last < start and start <= now then m.count = 0 end
    return t.capacity - m.count
  end,
  wait = function(m, _, now) return max(1, m.ends - now) end,
  take = function(m, t, now) m.count, m.last = m.count + t.amount, now end,
  reset = function(m, _, now) return max(1, m.ends - now) end,
  store = function(m, key, now)
    call('SET', key, pack('<Bdd', CALENDAR, m.last, m.count), 'PX', max(1, m.ends - now) + SPARE_MS)
  end,
}

-- CONCURRENCY: ZSET lease id -> expiry. A lease already held takes nothing more.
local concurrency = {
  open = function(key, now)
    return {kind = CONCURRENCY, key = key, live = call('ZCOUNT', key, '(' .. now, '+inf'), mine = {}, ids = {}}
  end,
  room = function(m, t, now)
    local id = t.id
    if m.mine[id] == nil then
      local expiry = call('ZSCORE', m.key, id)
      m.mine[id] = expiry and tonumber(expiry) > now or false
    end
    local free = t.capacity - m.live * t.amount
    if free < t.amount and not m.frozen then
      -- Leases from a clock that ran ahead would hold for as long as it did: they get one lease from now.
      m.frozen, m.lease = call('ZRANGEBYSCORE', m.key, '(' .. (now + t.a + AHEAD_MS), '+inf'), t.a
      m.healed = m.frozen[1] ~= nil
    end
    return m.mine[id] and t.capacity or free
  end,
  wait = function() return RETRY_MS end,
  take = function(m, t, now)
    m.lease = max(m.lease or 0, t.a)
    if not m.mine[t.id] then
      m.mine[t.id], m.live = true, m.live + 1
      m.ids[#m.ids + 1] = now + t.a
      m.ids[#m.ids + 1] = t.id
    end
  end,
  left = function(m, t) return t.capacity - m.live * t.amount end,
  reset = function() return 0 end,
  store = function(m, key, now)
    for _, id in ipairs(m.frozen or {}) do call('ZADD', key, 'XX', now + m.lease, id) end
    if m.ids[1] then
      call('ZREMRANGEBYSCORE', key, '-inf', now)
      call('ZADD', key, unpack(m.ids))
    end
    if m.healed or m.ids[1] then call('PEXPIRE', key, m.lease + SPARE_MS) end
  end,
}

local KINDS = {window, smooth, calendar, concurrency}

-- 1. Time, and whether this batch has been here before.
local batch = ARGV[1]
local version, count, sequence, given, memory, pos = read('<BHddd', batch)
local raws = call('MGET', unpack(KEYS))
local clock = given
if given == 0 then
  local time = call('TIME')
  clock = time[1] * 1000 + floor(time[2] / 1000)
end
if raws[2] then
  local last = read('<d', raws[2])
  if last == sequence then return sub(raws[2], 9) end
  if last > sequence then return pack('<BBHd', VERSION, 4, 0, clock) end
end
local watermark = tonumber(raws[1] or 0)
local now, flags = clock, 0
if watermark > clock then
  if watermark - clock > AHEAD_MS then flags = 1 else now, flags = watermark, 2 end
end

-- Holds: whether any may be taken, and those that are asked for. All of it is made here, so that a batch without holds
-- does not pay for it: a script makes its tables and functions anew each time it runs.
local shut, epoch, written, backlog, read_hold
local state, holds, due, kept, dues, taken
if version == 2 then
  local known, seen, bound
  known, seen, bound, pos = read('<ddd', batch, pos)
  state, holds, due = #KEYS - 3, KEYS[#KEYS - 2], KEYS[#KEYS - 1]
  kept, dues = {}, {} -- arguments of HSET and of ZADD
  taken = {} -- hold id -> when it was taken
  backlog, epoch, written = call('XLEN', KEYS[#KEYS]), 0, 0
  local closed = 1
  if raws[state] then closed, epoch, written = read('<Bdd', raws[state]) end
  if known > epoch or (known == epoch and seen > written) then
    flags, shut = flags + 40, CLOSED
  elseif closed == 1 then
    flags, shut = flags + 32, CLOSED
  elseif known > 0 and known < epoch then
    flags, shut = flags + 16, CLOSED
  elseif backlog >= bound then
    shut = OUTBOX_FULL
  end

  function read_hold(at)
    local h = {next = {}}
    h.tombs, h.place, h.id, h.state, h.lease, h.n, at = read('<HBc16BdB', batch, at)
    for i = 1, h.n do h.next[i], at = read('<H', batch, at) end
    h.kept, at = read('<Hc0', batch, at)
    if taken[h.id] == nil then
      local raw = call('HGET', holds, h.id)
      if raw then
        local _, since = read('<Bd', raw)
        taken[h.id] = since
      end
    end
    return h, at
  end

  -- HOLD: B kind, d settled, d held. A period's own key, so that a hold settles where it was taken.
  KINDS[HOLD] = {
    load = function(raw)
      local _, settled, held = read('<Bdd', raw)
      return {kind = HOLD, settled = settled, held = held}
    end,
    start = function() return {kind = HOLD, settled = 0, held = 0} end,
    room = function(m, t) return t.capacity - m.settled - m.held end,
    wait = function(_, t, now) return max(1, t.ends - now) end,
    take = function(m, t) m.held, m.ends = m.held + t.amount, t.ends end,
    left = function(m, t) return t.capacity - m.settled - m.held end,
    reset = function(_, t, now) return max(1, t.ends - now) end,
    store = function(m, key, now)
      call('SET', key, pack('<Bdd', HOLD, m.settled, m.held), 'PX', max(0, m.ends - now) + KEEP_MS)
    end,
  }
end

-- A meter as the take's kind sees it; what another kind has left counts whole, as taken at its latest.
local meters = {}
local function meter(index, t)
  local m = meters[index]
  if not m then
    local raw = raws[index + 4]
    if t.kind == CONCURRENCY then
      m = concurrency.open(KEYS[index + 4], now)
    elseif raw then
      m = KINDS[byte(raw)].load(raw)
    else
      m = KINDS[t.kind].start(t, 0, now)
    end
    meters[index] = m
  end
  if m.kind ~= t.kind then
    local held, latest = KINDS[m.kind].held(m)
    m = KINDS[t.kind].start(t, held, min(latest, now))
    m.healed = latest > now
    meters[index] = m
  end
  return m
end

-- 2. Each decision in order, on tables only: later ones see what earlier ones took.
local touched = {}
local out = {pack('<BBHd', VERSION, flags, count, clock)}
for _ = 1, count do
  local deadline, n, has, id, h
  deadline, n, has, pos = read('<dBB', batch, pos)
  if has > 0 then
    if has ~= 2 then
      id = sub(batch, pos, pos + 15)
      pos = pos + 16
    end
    if has > 1 then h, pos = read_hold(pos) end
  end
  local outcome = ADMITTED
  if deadline > 0 and deadline < clock then
    outcome = EXPIRED
  elseif id and call('ZSCORE', KEYS[3], id) then
    outcome = CANCELLED
  elseif h then
    local tombs = raws[h.tombs + 4]
    if tombs and (byte(tombs, h.place + 1) or 0) > 0 then outcome = CANCELLED else outcome = shut or ADMITTED end
  end
  local again = h and taken[h.id]
  local takes, from = {}, pos + 2 * n
  for i = 1, n do
    local t = {index = read('<H', batch, pos + 2 * i - 2), id = id, verdict = FITS}
    t.kind, t.shadow, t.amount, t.capacity, t.a, t.b, t.c, from = read('<BBddddd', batch, from)
    takes[i] = t
    if t.kind == HOLD then
      t.ends = t.b
      if now >= t.b then t.index, t.ends = h.next[i - n + h.n], t.c end
    end
    if outcome < EXPIRED then
      local m = meter(t.index, t)
      t.meter, t.rule = m, KINDS[t.kind]
      local room = t.rule.room(m, t, now)
      t.left = room
      if again then
        t.verdict = FITS -- it has been taken, and that is not asked of the meter again
      elseif t.amount > t.capacity then
        t.verdict, t.delay = NEVER, 0
        if t.shadow == 0 then outcome = IMPOSSIBLE end
      elseif t.amount > room then
        t.verdict, t.delay = NOT_NOW, max(1, t.rule.wait(m, t, now, t.amount - room))
        if t.shadow == 0 and outcome == ADMITTED then outcome = REFUSED end
      end
    end
  end
  pos = from
  out[#out + 1] = pack('<B', outcome)
  for i = 1, n do
    local t = takes[i]
    local m, rule = t.meter, t.rule
    if outcome == ADMITTED and not again and (t.verdict == FITS or t.kind == HOLD) then
      rule.take(m, t, now)
      t.taken = true
      touched[t.index] = true
      t.left = rule.left and rule.left(m, t) or t.left - t.amount
    elseif m and m.healed then
      touched[t.index] = true
    end
    local delay = t.delay or (rule and rule.reset(m, t, now)) or 0
    out[#out + 1] = pack('<Bdd', t.verdict, max(0, t.left or 0), delay)
  end
  if h then
    local amounts, sums = {}, {}
    for i = 1, h.n do
      local t = takes[n - h.n + i]
      amounts[i] = pack('<d', t.taken and t.amount or 0)
      sums[i] = t.meter and t.kind == HOLD and pack('<dd', t.meter.settled, t.meter.held) or pack('<dd', 0, 0)
    end
    if outcome == ADMITTED and not again then
      taken[h.id] = now
      kept[#kept + 1] = h.id
      kept[#kept + 1] = pack('<BdddB', h.state, now, h.lease, 0, h.n) .. table.concat(amounts) .. h.kept
      dues[#dues + 1] = now + h.lease
      dues[#dues + 1] = h.id
    end
    out[#out + 1] = pack('<d', outcome == ADMITTED and taken[h.id] or 0) .. table.concat(sums)
  end
end
if version == 2 then
  if kept[1] then written = written + 1 end
  out[#out + 1] = pack('<ddd', epoch, written, backlog)
end

-- 3. What was touched, once each.
local reply = table.concat(out)
for index in pairs(touched) do
  local m = meters[index]
  KINDS[m.kind].store(m, KEYS[index + 4], now)
end
if version == 2 then
  if kept[1] then
    call('HSET', holds, unpack(kept))
    call('ZADD', due, unpack(dues))
    call('SETRANGE', KEYS[state], 9, pack('<d', written))
  elseif raws[state] and flags >= 40 then
    call('SETRANGE', KEYS[state], 0, '\1')
  end
end
if now ~= watermark then call('SET', KEYS[1], string.format('%.0f', now)) end
call('SET', KEYS[2], pack('<d', sequence) .. reply, 'PX', memory)
return reply
