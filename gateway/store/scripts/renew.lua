--[[
  Renew leases of a project, and note what they have used so far.

  What is noted is what reap.lua charges if this was their gateway's last word. A
  response that has outgrown what was reserved of the rates takes more, in whole
  chunks: its bucket may go into debt, for a stream is never cut by a rate.

  KEYS[1]  gw:{project}:cfg       hash: the limits
  KEYS[2]  gw:{project}:q         hash: how project and keys stand
  KEYS[3]  gw:{project}:lz        zset of lease ids
  KEYS[4]  gw:{project}:ld        hash of leases
  KEYS[n]  gw:{project}:lz:<kid>  from the fifth on: the zsets of the keys of these leases

  ARGV[1]  lease length, ms
  ARGV[n]  from the second on, six for each lease: its id, the position of its key's zset in KEYS,
           and its tokens so far: input, cached, output, reasoning

  Returns {'renewed', lease id, ...}: the ids that are not known, because they were settled,
          reaped or forgotten.
]]
--#include clock
--#include limits
--#include scope
--#include lease
local lease_end = integer(now_ms + tonumber(ARGV[1]))

local CHUNK = 1024 -- output tokens

local ids = {}
for position = 2, #ARGV, 6 do
  ids[#ids + 1] = ARGV[position]
end
local held = redis.call('HMGET', KEYS[4], unpack(ids))

local reply, renewed, ends, more = { 'renewed' }, {}, {}, {}
local more_of_all = 0
for n, lease_id in ipairs(ids) do
  if not held[n] then
    reply[#reply + 1] = lease_id
  else
    local lease, at = read_lease(held[n]), 6 * n - 4
    -- Never less than before: a late renewal may overtake a later one.
    lease.used_input = math.max(lease.used_input, tonumber(ARGV[at + 2]))
    lease.used_cached = math.max(lease.used_cached, tonumber(ARGV[at + 3]))
    lease.used_output = math.max(lease.used_output, tonumber(ARGV[at + 4]))
    lease.used_reasoning = math.max(lease.used_reasoning, tonumber(ARGV[at + 5]))
    if lease.used_output > lease.output then
      local taken = CHUNK * math.ceil((lease.used_output - lease.output) / CHUNK)
      local kid = string.match(lease.bearer, '^[^|]*')
      lease.output = lease.output + taken
      more[kid] = (more[kid] or 0) + taken
      more_of_all = more_of_all + taken
    end
    renewed[#renewed + 1] = lease_id
    renewed[#renewed + 1] = pack_lease(lease)
    ends[#ends + 1] = lease_end
    ends[#ends + 1] = lease_id
    if lease.key_counts == 1 then
      redis.call('ZADD', KEYS[tonumber(ARGV[at + 1])], 'XX', lease_end, lease_id)
    end
  end
end
if #renewed > 0 then
  redis.call('HSET', KEYS[4], unpack(renewed))
  redis.call('ZADD', KEYS[3], 'XX', unpack(ends))
end

local function take_more(field, limits_field, tokens)
  local state = redis.call('HGET', KEYS[2], field)
  if state then
    local scope = read_scope(state, 0, 0)
    correct_tokens(scope, read_limits(redis.call('HGET', KEYS[1], limits_field)), 0, tokens)
    redis.call('HSET', KEYS[2], field, pack_scope(scope))
  end
end

if more_of_all > 0 then
  take_more('p', 'limits', more_of_all)
  for kid, tokens in pairs(more) do
    take_more(kid, 'k:' .. kid, tokens)
  end
end
return reply
