--[[
  Find leases that ended some time ago: work for reap.lua. Changes nothing.

  KEYS[1]  gw:{project}:lz  zset of lease ids
  KEYS[2]  gw:{project}:ld  hash of leases

  ARGV[1]  how long ago, ms
  ARGV[2]  at most so many

  Returns {'ended', lease id, lease, lease id, lease ...}: a lease is packed, or '' if there is none.
]]
--#include clock
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', integer(now_ms - tonumber(ARGV[1])),
  'LIMIT', 0, tonumber(ARGV[2]))
local reply = { 'ended' }
if #ids > 0 then
  local held = redis.call('HMGET', KEYS[2], unpack(ids))
  for n, lease_id in ipairs(ids) do
    reply[#reply + 1] = lease_id
    reply[#reply + 1] = held[n] or ''
  end
end
return reply
