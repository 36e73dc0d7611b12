-- The values of one plugin, all in one slot of a cluster: KEYS[1] is the value, KEYS[2] a sorted set of the plugin's keys by the time
-- at which they end, KEYS[3] a hash with the size of each, and their sum under "".
-- Returns the value or the sum as text, and 1 if it was set; OVERLIMIT or INVALID as an error.
local value_key, ends_key, sizes_key = KEYS[1], KEYS[2], KEYS[3]
local mode, name, value, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local most_keys, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function forget(member)
  local size = redis.call('HGET', sizes_key, member)
  if size then
    redis.call('HDEL', sizes_key, member)
    redis.call('HINCRBY', sizes_key, '', -tonumber(size))
  end
  redis.call('ZREM', ends_key, member)
end

-- At most so many at once, so that no call takes long.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', ends_key, '-inf', now, 'LIMIT', 0, 100)) do
  forget(member)
end
if mode == 'delete' then
  redis.call('DEL', value_key)
  forget(name)
  return {'', 1}
end
local had = redis.call('GET', value_key)
if mode == 'insert' and had then return {'', 0} end
if mode == 'add' then
  if had then
    if not string.match(had, '^-?%d+$') then return redis.error_reply('INVALID no number') end
    ttl = redis.call('PTTL', value_key)
  end
  local sum = redis.pcall('INCRBY', value_key, value)
  if type(sum) == 'table' then return redis.error_reply('INVALID no number') end
  value = redis.call('GET', value_key)
end
local function undo()
  if mode ~= 'add' then return end
  if had then redis.call('SET', value_key, had, 'KEEPTTL') else redis.call('DEL', value_key) end
end
local old = tonumber(redis.call('HGET', sizes_key, name) or 0)
local all = tonumber(redis.call('HGET', sizes_key, '') or 0)
local size = #name + #value + 64
local count = redis.call('ZCARD', ends_key)
if old == 0 then count = count + 1 end
if count > most_keys or all - old + size > most_bytes then
  undo()
  return redis.error_reply('OVERLIMIT quota')
end
if mode ~= 'add' then redis.call('SET', value_key, value) end
local ends = '+inf'
if ttl >= 0 then
  redis.call('PEXPIRE', value_key, string.format('%.0f', ttl))
  ends = string.format('%.0f', now + ttl)
elseif mode ~= 'add' or not had then
  redis.call('PERSIST', value_key)
end
redis.call('ZADD', ends_key, ends, name)
redis.call('HSET', sizes_key, name, size)
redis.call('HINCRBY', sizes_key, '', size - old)
return {value, 1}
