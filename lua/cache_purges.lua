-- Appends to the log of purges, and begins it where it is missing.
--
-- KEYS[1]  log: STREAM of records with one field, d: packed digests of 8 bytes; none: a floor record
-- ARGV[1]  the last record that the caller knows: its milliseconds
-- ARGV[2]  and its sequence
-- ARGV[3]  how many records the log keeps, about
-- ARGV[4…] the records' digests; no record: the log is only looked at
-- Returns  id of the log's first record, id of its last before this call, then the id of each record added
-- Complexity  O(records)
--
-- A log that is missing (new, evicted, or of a Redis that was emptied) begins with a floor record: nobody knows what
-- was purged before. Ids never go back behind what the caller knows, though Redis may have lost the log's end and its
-- clock be behind; and no sequence outgrows the 20 bits that mirrors have for it.

local MOST_SEQUENCE = 1048575
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function parsed(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local last_ms, last_sequence = 0, 0
local missing = call('EXISTS', KEYS[1]) == 0
local before = '0-0'
if not missing then
  local info = call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then before = info[i + 1] end
  end
  last_ms, last_sequence = parsed(before)
end
local known_ms, known_sequence = tonumber(ARGV[1]), tonumber(ARGV[2])
if known_ms > last_ms or (known_ms == last_ms and known_sequence > last_sequence) then
  last_ms, last_sequence = known_ms, known_sequence
end

local function add(digests)
  if now > last_ms then
    last_ms, last_sequence = now, 0
  elseif last_sequence < MOST_SEQUENCE then
    last_sequence = last_sequence + 1
  else
    last_ms, last_sequence = last_ms + 1, 0
  end
  local id = string.format('%.0f-%.0f', last_ms, last_sequence)
  call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], id, 'd', digests)
  return id
end

if missing then add('') end
local added = {}
for i = 4, #ARGV do added[#added + 1] = add(ARGV[i]) end
local first = call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local floor = first[1] and first[1][1] or add('') -- all records were deleted by hand
return {floor, before, unpack(added)}
