-- One limit of one subject: a hash, whose time to live ends when all of its units are back.
--   owed, at, rate   units that were taken and are not back, when that was right, and how many come back in a millisecond
--   capacity         of a day or a month alone: how many units there are
--   g:GATEWAY        "UNITS ENDS INCARNATION": what a live gateway has reserved, until when it must have said that it lives
-- Returns whether the amount is granted, and what is left; -1 as the first value: a newer incarnation of the gateway is there.
local key = KEYS[1]
local mode, gateway, incarnation = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lease, capacity, per = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local amount, used = tonumber(ARGV[7]), tonumber(ARGV[8])
-- `per` is above 0 for units that come back evenly, 0 for those that are held, and below for those of a day or a month, which has
-- a key of its own and is over in `left` milliseconds.
local left = tonumber(ARGV[9])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local fields = redis.call('HGETALL', key)
local owed, at, rate, held = 0, now, 0, 0
local mine, given_back, gone = nil, 0, {}
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'owed' then owed = tonumber(value)
  elseif name == 'at' then at = tonumber(value)
  elseif name == 'rate' then rate = tonumber(value)
  elseif name ~= 'capacity' then
    local units, ends, of = string.match(value, '^(%S+) (%S+) (%S+)$')
    units, ends, of = tonumber(units), tonumber(ends), tonumber(of)
    local own = name == gateway
    if own and of > incarnation then return {-1, 0, 0, 0} end
    if ends <= now or (own and (of < incarnation or mode == 'sync')) then
      given_back = given_back + units
      gone[#gone + 1] = name
    else
      held = held + units
      if own then mine = units end
    end
  end
end
owed = math.max(0, owed - math.max(0, now - at) * rate)
if per ~= 0 then
  owed = math.max(0, owed - given_back)
  rate = per > 0 and capacity / per or 0
end

-- Floating point: less than a millionth of a unit.
local room = per ~= 0 and owed + amount <= capacity + 0.000001 or per == 0 and held + amount <= capacity
local granted, changed = true, true
if mode == 'take' or mode == 'reserve' or mode == 'look' then
  granted = amount == 0 or room
  changed = granted and amount > 0 and mode ~= 'look'
  if changed then
    owed = owed + amount
    if mode == 'reserve' then
      held = held + amount
      mine = (mine or 0) + amount
    end
  end
elseif mode == 'settle' then
  -- If it is not there, its lease has ended, and it was given back then.
  if mine then
    owed = math.max(0, owed + used - amount)
    mine = math.max(0, mine - amount)
  else
    owed = owed + used
  end
elseif mode == 'sync' or not mine then
  -- `sync`, or `renew` of what is lost.
  mine = amount
  owed = owed + amount + used
end

if changed then
  for _, name in ipairs(gone) do redis.call('HDEL', key, name) end
  local ttl = per < 0 and math.max(lease, left) or lease
  if per < 0 then redis.call('HSET', key, 'capacity', string.format('%.0f', capacity)) end
  if per ~= 0 and owed > 0 then
    redis.call('HSET', key, 'owed', string.format('%.17g', owed), 'at', now, 'rate', string.format('%.17g', rate))
    if rate > 0 then ttl = math.max(ttl, owed / rate) end
  else
    redis.call('HDEL', key, 'owed', 'at', 'rate')
  end
  if mine and mine > 0 then
    redis.call('HSET', key, gateway, string.format('%.17g %.0f %.0f', mine, now + lease, incarnation))
  else
    redis.call('HDEL', key, gateway)
  end
  -- A day or a month ends when it did for the first call, whatever later ones that were reserved in it say.
  if per >= 0 or redis.call('PTTL', key) < 0 then
    redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(ttl) + 1000))
  end
end

-- In how many milliseconds so many units are back.
local function back(units)
  if per < 0 then return left end
  if per > 0 and capacity > 0 then return math.ceil(units / rate) end
  return -1
end
local retry, reset = 0, -1
if not granted then
  retry = amount <= capacity and back(owed + amount - capacity) or -1
end
local rest = capacity - held
if per ~= 0 then
  rest = math.floor(capacity - owed + 0.000001)
  reset = owed == 0 and 0 or back(owed)
end
return {granted and 1 or 0, rest, retry, reset}
