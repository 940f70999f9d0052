-- Reads a URL's stored answers, and takes the lease of its fetch where nobody has it: at one moment, so that who gets
-- the lease has seen all that was stored before.
--
-- KEYS[1]  answers: HASH, see cache_put.lua
-- KEYS[2]  lease: STRING, see cache_lease.lua
-- ARGV[1]  token of the caller
-- ARGV[2]  how long the lease is held from now (ms)
-- Returns  1: the caller holds the lease, 0: another does; then the hash's fields and values in turn
-- Complexity  O(variants)
--
-- A look that is sent twice, since its reply was lost, is held by the same token.

local call = redis.call
local answers = call('HGETALL', KEYS[1])
local holder = call('GET', KEYS[2])
if not holder then
  call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
  holder = ARGV[1]
end
return {holder == ARGV[1] and 1 or 0, answers}
