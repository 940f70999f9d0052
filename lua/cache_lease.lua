-- Renews or releases the lease of one who fetches a URL for all others; cache_look.lua gives it.
--
-- KEYS[1]  lease: STRING, the token of its holder
-- ARGV[1]  what to do: renew or release
-- ARGV[2]  token of the caller
-- ARGV[3]  how long it is held from now (ms); of release: not looked at
-- Returns  1: the caller holds it (release: held it), 0: it does not
-- Complexity  O(1)

if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
if ARGV[1] == 'release' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
