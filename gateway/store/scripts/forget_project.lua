--[[
  Take a project off the list of those that may have leases, if nobody has put it there lately.

  KEYS[1]  gw:leased:<part>  zset of project ids, score = when it last took a lease, Unix s

  ARGV[1]  project id
  ARGV[2]  the latest moment that is long ago, Unix s

  Returns {'forgotten'},
          {'kept'} when it was put there again, or is not there.
]]
local last = redis.call('ZSCORE', KEYS[1], ARGV[1])
if last and tonumber(last) < tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return { 'forgotten' }
end
return { 'kept' }
