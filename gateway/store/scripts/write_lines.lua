--[[
  Write what a principal may do into its record, or into that of one of its keys.

  Several operators may change its policies at once. Each raises the principal's
  revision after writing a policy and before reading all of them, so what was read
  under the highest revision has everybody's change in it, and the others must not
  overwrite it.

  KEYS[1]  gw:principal:<id> or gw:key:<kid>   hash

  ARGV[1]  revision of the principal under which the policies were read
  ARGV[2]  the lines, JSON

  Returns {'written'},
          {'newer'} when there are newer ones: nothing has changed,
          {'absent'} when there is no such record.
]]
local stored = redis.call('HMGET', KEYS[1], 'name', 'lines_rev')
if not stored[1] then
  return { 'absent' }
end
if tonumber(stored[2] or 0) > tonumber(ARGV[1]) then
  return { 'newer' }
end
redis.call('HSET', KEYS[1], 'lines', ARGV[2], 'lines_rev', ARGV[1])
return { 'written' }
