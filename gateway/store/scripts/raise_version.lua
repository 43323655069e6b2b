--[[
  Raise the version of a project's config, so that no gateway trusts what it has cached.

  KEYS[1]  gw:{project}:cfg   hash

  Returns {'raised', the new version},
          {'absent'} when there is no such project: none is made.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then
  return { 'absent' }
end
return { 'raised', redis.call('HINCRBY', KEYS[1], 'ver', 1) }
