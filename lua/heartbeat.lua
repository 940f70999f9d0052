-- Notes that a worker lives, or has ended, and counts those that live.
--
-- KEYS[1]  live: ZSET worker -> when its heartbeat is no longer believed (epoch ms)
-- ARGV[1]  worker id
-- ARGV[2]  how long this heartbeat is believed (ms); 0: the worker ends
-- Returns  the number of live workers
-- Complexity  O(log workers + those that have ended)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local believed = tonumber(ARGV[2])
if believed > 0 then
  redis.call('ZADD', KEYS[1], now + believed, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], believed)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZCARD', KEYS[1])
