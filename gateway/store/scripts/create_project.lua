--[[
  Write a project's config, unless there is one.

  One script, for two operators who choose the same id must not both win.

  KEYS[1]  gw:{project}:cfg   hash

  ARGV     field, value, field, value ... of the config

  Returns {'created'},
          {'exists'} when there is a project: nothing has changed.
]]
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'exists' }
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return { 'created' }
