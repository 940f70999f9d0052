-- Speaks for room in Redis before answers are written there, so that all who write together keep to what there is.
--
-- KEYS[1]  spoken: HASH; w: number of the window of time, c: bytes spoken for in it, p: in the one before
-- ARGV[1]  bytes that the caller is about to write
-- ARGV[2]  bytes that there is room for, as the caller has just seen
-- ARGV[3]  length of a window (ms); what is spoken for must be written within one
-- Returns  1: it may write them, 0: there is no room
-- Complexity  O(1)
--
-- What was spoken for may be written by now and be missing from ARGV[2] already, or not yet: until it is old enough to
-- be written for sure it counts.

local call = redis.call
local time = call('TIME')
local length = tonumber(ARGV[3])
local window = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / length)
local said = call('HMGET', KEYS[1], 'w', 'c', 'p')
local at, current, before = tonumber(said[1] or 0), tonumber(said[2] or 0), tonumber(said[3] or 0)
if at == window - 1 then
  current, before = 0, current
elseif at ~= window then
  current, before = 0, 0
end
current = current + tonumber(ARGV[1])
if current + before > tonumber(ARGV[2]) then return 0 end
call('HSET', KEYS[1], 'w', window, 'c', string.format('%.0f', current), 'p', string.format('%.0f', before))
call('PEXPIRE', KEYS[1], 2 * length)
return 1
