-- Moves holds on: renews, settles, releases, corrects and orphans them, many in one call, each as a whole or not at all.
--
-- KEYS[1]  clock: the watermark (read only; admit.lua keeps it)
-- KEYS[2]  state: what epoch.py says
-- KEYS[3]  holds: HASH hold id -> hold
-- KEYS[4]  due: ZSET hold id -> end of its lease (epoch ms)
-- KEYS[5]  outbox: STREAM of records on their way into the ledger: id, rev, state, record
-- KEYS[6…] the tombstones (a byte an id) and meters named below
-- ARGV[1]  packed, little-endian, doubles that hold whole numbers below 2^53:
--   call       B version, H operations, d now (epoch ms; 0: TIME), d epoch and d sequence last seen (0: none)
--   operation  B what (1 renew, 2 settle, 3 release, 4 orphan what is due, 5 abandon), H index of its tombstones
--              (0: KEYS[6]), B place in them, 16 bytes id, d when it was taken (ms; 0: nobody heard), d lease (ms),
--              d so far (what the caller counts of a stream, kept for the reaper), B meters, the meters,
--              H length, record (empty: none is written), H length, what the reaper keeps (renew)
--   meter      H index of the meter, H index of the next period's, B kind, d held, d amount, d a, d b, d c
--     1 WINDOW   a window (ms), b width of the sub-window that was taken from (ms)
--     5 HOLD     a, b, c starts of the period, of the next and of the one after (epoch ms)
-- Returns    packed: B version, B flags (8 rolled back, 16 behind, 32 closed), H operations, d TIME (ms); each
--   operation  B effect (1 done, 2 taken again, 3 corrected, 4 had ended, 5 too late, 6 closed, 7 not due, 8 never sent),
--              d, d the outbox entry (ms, number; 0: none), then for each meter d settled, d held (HOLD; else 0)
--   at the end d epoch, d sequence, d records in the outbox
-- Complexity O(meters), plus the sub-windows of a window meter that changes.
--
-- An operation carries its whole hold, so that it counts even where the store has forgotten it. What a hold became is a
-- tombstone: the first end stands, but for an orphan's, which a settlement corrects by the difference, in the period in
-- which the hold was taken, and a release with a record to nothing. Without a hold and without a tombstone, only what is younger than a tombstone's life counts:
-- what is older may have been settled before. Everything is decided on tables, then written, the outbox first.
-- Twin: proxy/metering/books.py.

local VERSION = 1
local AHEAD_MS = 5000
local KEEP_MS = 35 * 86400000 -- a period's counter outlives it by this
local TOMBSTONE_MS = 7 * 86400000 -- longer than any retry, replays of a journal included
local ROLLED_BACK, BEHIND, SHUT = 8, 16, 32
local RENEW, SETTLE, RELEASE, ORPHAN, ABANDON = 1, 2, 3, 4, 5
local DONE, AGAIN, CORRECTED, ENDED, TOO_LATE, CLOSED, NOT_DUE, UNSENT = 1, 2, 3, 4, 5, 6, 7, 8
local NOTHING, SETTLED, RELEASED, ORPHANED, NEVER_SENT, MENDED = 0, 1, 2, 3, 4, 5 -- tombstones
local WORDS = {'settled', 'released', 'orphaned', 'unsent', 'corrected'}
local SENT = 2
local WINDOW, HOLD = 1, 5
local MOST = 281474976710655 -- what six bytes of a window hold

local call, read, pack, sub, byte = redis.call, struct.unpack, struct.pack, string.sub, string.byte
local floor, max, min, concat = math.floor, math.max, math.min, table.concat

-- 1. The whole call, and what the store knows of it.
local arg = ARGV[1]
local _, count, given, known, seen, pos = read('<BHddd', arg)
local operations, ids = {}, {}
for i = 1, count do
  local o = {meters = {}}
  local n
  o.what, o.tombs, o.place, o.id, o.taken, o.lease, o.far, n, pos = read('<BHBc16dddB', arg, pos)
  for k = 1, n do
    local m = {}
    m.index, m.next, m.kind, m.held, m.amount, m.a, m.b, m.c, pos = read('<HHBddddd', arg, pos)
    o.meters[k] = m
  end
  o.record, pos = read('<Hc0', arg, pos)
  o.kept, pos = read('<Hc0', arg, pos)
  operations[i], ids[i] = o, o.id
end
local raws = call('MGET', unpack(KEYS))
local stored = call('HMGET', KEYS[3], unpack(ids))
local clock = given
if given == 0 then
  local time = call('TIME')
  clock = time[1] * 1000 + floor(time[2] / 1000)
end
local watermark = tonumber(raws[1] or 0)
local now = (watermark > clock and watermark - clock <= AHEAD_MS) and watermark or clock

local closed, epoch, written, quiet, _reaped = 1, 0, 0, 0, nil
if raws[2] then closed, epoch, written, _reaped, quiet = read('<Bdddd', raws[2]) end
local flags, shutting = 0, false
if known > epoch or (known == epoch and seen > written) then
  flags, shutting = ROLLED_BACK + SHUT, closed == 0
elseif closed == 1 then
  flags = SHUT
elseif known > 0 and known < epoch then
  flags = BEHIND
end

-- 2. Each operation in order, on tables only: later ones see what earlier ones did.
local live = {} -- hold id -> {state, taken, held…} or false
for i, id in ipairs(ids) do
  if live[id] == nil then
    local h = false
    if stored[i] then
      h = {held = {}}
      local n, at
      h.state, h.taken, h.lease, h.far, n, at = read('<BdddB', stored[i])
      for k = 1, n do h.held[k], at = read('<d', stored[i], at) end
      h.kept = sub(stored[i], at)
    end
    live[id] = h
  end
end

local graves = {} -- index -> place -> tombstone
local function tombstone(o)
  local grave = graves[o.tombs] and graves[o.tombs][o.place]
  if grave then return grave end
  local raw = raws[o.tombs + 6]
  return raw and byte(raw, o.place + 1) or NOTHING
end

local counters, windows = {}, {}
local function counter(m, taken)
  local late = taken >= m.b
  local index = late and m.next or m.index
  local found = counters[index]
  if not found then
    found = {settled = 0, held = 0, changed = false}
    local raw = raws[index + 6]
    if raw then
      local _, settled, held = read('<Bdd', raw)
      found.settled, found.held = settled, held
    end
    counters[index] = found
  end
  found.ends = late and m.c or m.b
  return found
end

-- Adds to the sub-window in which the hold was taken, wherever it is now; a refund goes there or nowhere, what is over
-- counts now if it does not find its place any more but would still count.
local function adjust(m, taken, amount)
  local raw = windows[m.index] or raws[m.index + 6]
  if amount == 0 or not raw or byte(raw) ~= WINDOW then return end
  local _, width, keep, current, now_in, older, oldest, first = read('<BI4I6I6I6I6I6', raw)
  local index = floor(taken / m.b)
  local target
  if width >= m.b then
    target = floor(index * m.b / width)
  else
    target = (index + 1) * (m.b / width) - 1
  end
  local body, found = sub(raw, first), target == current
  if found then
    now_in = max(0, now_in + amount)
  else
    for at = #body - 11, 1, -12 do
      local entry, was = read('<I6I6', body, at)
      if entry == target then
        local is = max(0, min(MOST, was + amount))
        found, older = true, older + is - was
        local changed = is > 0 and pack('<I6I6', entry, is) or ''
        body = sub(body, 1, at - 1) .. changed .. sub(body, at + 12)
        oldest = older > 0 and read('<I6', body) or 0
      end
      if entry <= target then break end
    end
  end
  if not found and amount > 0 and (index + 1) * m.b - 1 + m.a > now then now_in = now_in + amount end
  windows[m.index] = pack('<BI4I6I6I6I6I6', WINDOW, width, keep, current, min(MOST, now_in), older, oldest) .. body
end

-- Moves every meter of a hold: `held` and `settled` give what a meter's two sums change by.
local function move(o, taken, held, settled)
  for k, m in ipairs(o.meters) do
    if m.kind == HOLD then
      local c = counter(m, taken)
      c.held, c.settled, c.changed = max(0, c.held + held[k]), max(0, c.settled + settled[k]), true
    else
      adjust(m, taken, held[k] + settled[k])
    end
  end
end

local function each(o, f)
  local list = {}
  for k, m in ipairs(o.meters) do list[k] = f(m, k) end
  return list
end
local function zero() return 0 end
local function amount(m) return m.amount end
local function held(m) return m.held end

local entries, touched = {}, {}

-- Ends a hold, and leaves its tombstone and its record.
local function finish(o, tomb, rev, effect)
  live[o.id], touched[o.id] = false, true
  graves[o.tombs] = graves[o.tombs] or {}
  graves[o.tombs][o.place] = tomb
  if #o.record > 0 and effect ~= UNSENT then entries[#entries + 1] = {o, rev, WORDS[tomb]} end
  return effect
end

local function forgotten(o) return o.taken == 0 or now - o.taken > TOMBSTONE_MS end

local function settle(o, h, tomb)
  if tomb == ORPHANED then
    move(o, o.taken, each(o, zero), each(o, function(m) return m.amount - m.held end))
    return finish(o, MENDED, 2, CORRECTED)
  elseif tomb == NEVER_SENT then
    move(o, o.taken, each(o, zero), each(o, amount))
    return finish(o, MENDED, 2, CORRECTED)
  elseif tomb ~= NOTHING then
    return ENDED
  elseif h then
    move(o, h.taken, each(o, function(_, k) return -h.held[k] end), each(o, amount))
  elseif forgotten(o) then
    return TOO_LATE
  else
    move(o, o.taken, each(o, zero), each(o, amount))
  end
  return finish(o, SETTLED, 1, DONE)
end

local function orphan(o, h, tomb)
  if tomb ~= NOTHING then return ENDED end
  if o.what == ORPHAN and not h then return NOT_DUE end
  if not h and forgotten(o) then return TOO_LATE end
  if h and o.what == ORPHAN then
    local ends = call('ZSCORE', KEYS[4], o.id)
    if now < quiet or (ends and tonumber(ends) > now) then return NOT_DUE end
    if h.state ~= SENT then
      move(o, h.taken, each(o, function(_, k) return -h.held[k] end), each(o, zero))
      return finish(o, NEVER_SENT, 1, UNSENT)
    end
  end
  if h then
    move(o, h.taken, each(o, function(_, k) return -h.held[k] end), h.held)
  else
    move(o, o.taken, each(o, zero), each(o, held))
  end
  return finish(o, ORPHANED, 1, DONE)
end

local function release(o, h, tomb)
  if (tomb == ORPHANED or tomb == NEVER_SENT) and #o.record > 0 and o.taken > 0 then return settle(o, h, tomb) end
  if tomb ~= NOTHING then return ENDED end
  if h then move(o, h.taken, each(o, function(_, k) return -h.held[k] end), each(o, zero)) end
  return finish(o, RELEASED, 1, DONE)
end

local function renew(o, h, tomb)
  if tomb ~= NOTHING then return ENDED end
  local effect = DONE
  if not h then
    if forgotten(o) then return TOO_LATE end
    effect, h = AGAIN, {taken = o.taken, held = each(o, held), kept = o.kept}
    move(o, o.taken, each(o, function(m) return m.kind == HOLD and m.held or 0 end), each(o, zero))
    live[o.id] = h
  end
  h.state, h.lease, h.far, touched[o.id] = SENT, o.lease, o.far, true
  return effect
end

local RULES = {[RENEW] = renew, [SETTLE] = settle, [RELEASE] = release, [ORPHAN] = orphan, [ABANDON] = orphan}

local effects, wrote = {}, false
for i, o in ipairs(operations) do
  -- A caller who is behind may post what the ledger has already, and has to look there first. While budgets are closed
  -- everything counts, but that nobody's lease is judged.
  if flags == BEHIND and o.what ~= RENEW or flags ~= 0 and o.what == ORPHAN then
    effects[i] = CLOSED
  else
    effects[i] = RULES[o.what](o, live[o.id], tombstone(o))
    wrote = wrote or touched[o.id] == true
  end
end

-- 3. What was touched, once each.
local places = {}
for _, entry in ipairs(entries) do
  local o, rev, word = unpack(entry)
  local id = call('XADD', KEYS[5], '*', 'id', o.id, 'rev', rev, 'state', word, 'record', o.record)
  places[o] = {string.match(id, '(%d+)-(%d+)')}
end
for index, c in pairs(counters) do
  if c.changed then
    call('SET', KEYS[index + 6], pack('<Bdd', HOLD, c.settled, c.held), 'PX', max(0, c.ends - now) + KEEP_MS)
  end
end
for index, raw in pairs(windows) do call('SET', KEYS[index + 6], raw, 'KEEPTTL') end
for index, grave in pairs(graves) do
  local key = KEYS[index + 6]
  for place, tomb in pairs(grave) do call('SETRANGE', key, place, string.char(tomb)) end
  call('PEXPIRE', key, TOMBSTONE_MS)
end
local gone, kept, dues = {}, {}, {}
for id in pairs(touched) do
  local h = live[id]
  if h then
    local amounts = {}
    for k, amount_held in ipairs(h.held) do amounts[k] = pack('<d', amount_held) end
    kept[#kept + 1] = id
    kept[#kept + 1] = pack('<BdddB', h.state, h.taken, h.lease, h.far, #h.held) .. concat(amounts) .. h.kept
    dues[#dues + 1] = now + h.lease
    dues[#dues + 1] = id
  else
    gone[#gone + 1] = id
  end
end
if gone[1] then
  call('HDEL', KEYS[3], unpack(gone))
  call('ZREM', KEYS[4], unpack(gone))
end
if kept[1] then
  call('HSET', KEYS[3], unpack(kept))
  call('ZADD', KEYS[4], unpack(dues))
end
if raws[2] then
  if shutting then call('SETRANGE', KEYS[2], 0, '\1') end
  if wrote then
    written = written + 1
    call('SETRANGE', KEYS[2], 9, pack('<d', written))
  end
end

local out = {pack('<BBHd', VERSION, flags, count, clock)}
for i, o in ipairs(operations) do
  local place = places[o]
  out[#out + 1] = pack('<Bdd', effects[i], place and place[1] or 0, place and place[2] or 0)
  local h = live[o.id]
  for _, m in ipairs(o.meters) do
    local c = m.kind == HOLD and counter(m, h and h.taken or o.taken)
    out[#out + 1] = c and pack('<dd', c.settled, c.held) or pack('<dd', 0, 0)
  end
end
out[#out + 1] = pack('<ddd', epoch, written, call('XLEN', KEYS[5]))
return concat(out)
