--[[
  Write a hash, unless it is there.

  One script, for two operators who choose the same id must not both win.

  KEYS[1]  the hash: a project's config, an organisation, a principal

  ARGV     field, value, field, value ... of it

  Returns {'created'},
          {'exists'} when there is one: nothing has changed.
]]
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'exists' }
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return { 'created' }
