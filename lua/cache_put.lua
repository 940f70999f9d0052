-- Keeps one variant of a URL's stored answers, or the mark that its answers are not stored.
--
-- KEYS[1]  answers: HASH of variants; i: the index of them, oldest first, 16 bytes each: id (8), expiry (double, epoch ms)
-- ARGV[1]  id of the variant, 8 bytes; all zero: the mark
-- ARGV[2]  its record; of the mark: why they are not
-- ARGV[3]  how long it is kept (ms)
-- ARGV[4]  how many variants are kept
-- ARGV[5]  id of the variant in whose favour it is not kept, while that is; empty: none
-- Returns  1: it is kept, 0: it is not
-- Complexity  O(variants)
--
-- An answer that is stored ends the mark; a mark leaves older answers where they are.

local MARK = string.rep('\0', 8)
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, expiry, most = ARGV[1], now + tonumber(ARGV[3]), tonumber(ARGV[4])

local index, kept, count, latest = call('HGET', KEYS[1], 'i') or '', {}, 0, expiry
for at = 1, #index, 16 do
  local other, ends = string.sub(index, at, at + 7), struct.unpack('<d', index, at + 8)
  if other == ARGV[5] and ends > now then return 0 end
  if other == id then
    -- replaced
  elseif other == MARK then
    call('HDEL', KEYS[1], other)
  elseif ends <= now then
    call('HDEL', KEYS[1], other)
  else
    count = count + 1
    kept[count] = {other, ends}
  end
end
local first, beside = 1, id == MARK and most or most - 1
while count - first + 1 > beside do
  call('HDEL', KEYS[1], kept[first][1])
  first = first + 1
end
local packed = {}
for i = first, count do
  packed[#packed + 1] = kept[i][1] .. struct.pack('<d', kept[i][2])
  latest = math.max(latest, kept[i][2])
end
packed[#packed + 1] = id .. struct.pack('<d', expiry)
call('HSET', KEYS[1], 'i', table.concat(packed), id, ARGV[2])
call('PEXPIREAT', KEYS[1], string.format('%.0f', latest))
return 1
