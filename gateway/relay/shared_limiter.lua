-- Limits on Redis: the functions of gateway/routing/limits.py over hashes, in one script.
--
-- KEYS[1] is the prefix of all keys; ARGV[1] is JSON:
--   who    in whose name is reserved            lease  seconds that this stays good; 0: ends
--   now    unix seconds, 0 for Redis's own      own    how many of `take` are the request's own
--   over   what is over: {name, what, want, used, who, span | window}, `learn`: at least `used`
--   take   what is asked: {name, what, most, want, ttl, span | window}
-- A hash holds `h` (the newest slot or window), `b0`..`b12` (buckets) and `r<who>` (reserved).
-- The answer: index of the rule that refused (0: none), milliseconds until it may let in,
-- then what was used and reserved of each rule that was looked at. Where a rule behind `own`
-- refuses, those of the request's own are taken all the same.
local SLICES, BUCKETS = 12, 13
local prefix, asked = KEYS[1], cjson.decode(ARGV[1])
local now = asked.now
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local function whole(number) return string.format('%.0f', number) end

-- Who lives. What nobody alive has reserved is not counted.
local beats = prefix .. 'beats'
if asked.lease > 0 then
  redis.call('HSET', beats, asked.who, now + asked.lease)
else
  redis.call('HDEL', beats, asked.who)
end
local live = {}
local known = redis.call('HGETALL', beats)
for n = 1, #known, 2 do
  if tonumber(known[n + 1]) > now then
    live[#live + 1] = 'r' .. known[n]
  else
    redis.call('HDEL', beats, known[n])
  end
end

local function slot_of(span) return math.floor(now * SLICES / span) end

local function read(key, rule)
  local reserved, used = 0, 0
  if #live > 0 then
    for _, value in ipairs(redis.call('HMGET', key, unpack(live))) do
      reserved = reserved + (tonumber(value) or 0)
    end
  end
  local counts = {}
  if rule.what == 'usd' then
    local cell = redis.call('HMGET', key, 'h', 'b0')
    if tonumber(cell[1]) == rule.window then used = tonumber(cell[2]) or 0 end
  elseif rule.what ~= 'concurrency' then
    local fields = {'h'}
    for n = 0, SLICES do fields[#fields + 1] = 'b' .. n end
    local cell = redis.call('HMGET', key, unpack(fields))
    local head, current = tonumber(cell[1]), slot_of(rule.span)
    if head then
      if current < head then current = head end
      for number = current - SLICES, head do
        local count = tonumber(cell[2 + number % BUCKETS]) or 0
        counts[number] = count
        used = used + count
      end
    end
  end
  return used, reserved, counts
end

local function add(key, span, amount)
  local head, current = tonumber(redis.call('HGET', key, 'h')), slot_of(span)
  if not head or current > head then
    for number = math.max((head or 0) + 1, current - SLICES), current do
      redis.call('HDEL', key, 'b' .. number % BUCKETS)
    end
    redis.call('HSET', key, 'h', whole(current))
  else
    current = head
  end
  redis.call('HINCRBY', key, 'b' .. current % BUCKETS, whole(amount))
end

local function spend(key, window, amount)
  local head = tonumber(redis.call('HGET', key, 'h'))
  if head and window < head then return end
  if not head or window > head then
    redis.call('HSET', key, 'h', whole(window), 'b0', '0')
  end
  redis.call('HINCRBY', key, 'b0', whole(amount))
end

for _, row in ipairs(asked.over) do
  local key = prefix .. row.name
  if row.what == 'learn' then
    local used = read(key, {what = 'usd', window = row.window})
    if row.used > used then spend(key, row.window, row.used - used) end
  else
    local field = 'r' .. row.who
    local left = (tonumber(redis.call('HGET', key, field)) or 0) - row.want
    if left > 0 then redis.call('HSET', key, field, whole(left)) else redis.call('HDEL', key, field) end
    if row.used > 0 then
      if row.what == 'usd' then spend(key, row.window, row.used) else add(key, row.span, row.used) end
    end
    if row.ttl > 0 then redis.call('EXPIRE', key, row.ttl) end
  end
end

local function has_room(rule, used, reserved)
  if rule.what == 'requests' then return used < rule.most end
  if rule.what == 'concurrency' then return reserved < rule.most end
  if used + reserved + rule.want <= rule.most then return true end
  return reserved == 0 and used < rule.most
end

local function frees_ms(rule, used, counts)
  if used < rule.most or rule.what == 'concurrency' or rule.what == 'usd' then return 1000 end
  local left, current = used, slot_of(rule.span)
  for number = current - SLICES, current do
    left = left - (counts[number] or 0)
    if left < rule.most then
      return math.max(0, math.ceil(((number + BUCKETS) * rule.span / SLICES - now) * 1000))
    end
  end
  return rule.span * 1000
end

local refused, wait, answer = 0, 0, {}
for n, rule in ipairs(asked.take) do
  local used, reserved, counts = read(prefix .. rule.name, rule)
  answer[#answer + 1] = used
  answer[#answer + 1] = reserved
  if not has_room(rule, used, reserved) then
    refused, wait = n, frees_ms(rule, used, counts)
    break
  end
end
local taken = #asked.take
if refused > 0 then taken = refused > asked.own and asked.own or 0 end
for n = 1, taken do
  local rule = asked.take[n]
  local key = prefix .. rule.name
  if rule.what == 'requests' then
    add(key, rule.span, 1)
  else
    redis.call('HINCRBY', key, 'r' .. asked.who, whole(rule.want))
  end
  if rule.ttl > 0 then redis.call('EXPIRE', key, rule.ttl) end
end
return {refused, wait, unpack(answer)}
