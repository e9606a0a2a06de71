-- Limits on Redis: the functions of gateway/routing/limits.py over hashes, in one script.
--
-- KEYS[1] is the prefix of all keys. ARGV[1] is JSON:
--   process_id    the process that calls
--   lease         the number of its lease, under which it reserves. Only the newest one counts
--   lease_s       seconds for which the lease is valid; 0 ends it
--   now           unix seconds; 0 for Redis's own clock
--   epoch         identifies Redis's memory, as the caller last saw it. If Redis has another
--                 one, the answer is -1 and Redis's epoch, and nothing is done
--   seed          `batches` holds all recorded spend
--   batches       finished reservations, {id, rows}. A batch whose answer was lost is sent again
--                 under its id and not applied twice. A row: {name, what, amount, used,
--                 lease, span | window}; for the kind `sync`, `used` is a minimum. A row with
--                 `in_flight` reserves again what a request in flight had reserved before. A batch
--                 that was sent before has `age_s`: the recorded spend of another process may
--                 contain its spending by now
--   confirmed     ids of batches whose answer has arrived
--   reserve       rules to check: {name, what, limit, amount, ttl, span | window}
--   request_rows  how many of `reserve` belong to the request; the others are the attempt's
-- A hash holds `h` (the newest slot) and `b0`..`b12` (buckets), and `r<process>.<lease>` (reserved).
-- Of a budget it holds by window, as the clocks of machines differ: `w<window>` (spent),
-- `s<window>` (what `sync` rows have lately added to it) and `t<window>` (when they did). The hash
-- `leases` holds `<lease> <end>` of each process.
-- Returns the index of the rule that refused (0: none), milliseconds until a retry may succeed,
-- the number of the lease, then the used and reserved amounts of each rule that was checked. If a rule of the attempt
-- refuses, the request's own rules are reserved nevertheless.
local SLICES, BUCKETS = 12, 13
local KEPT_WINDOWS = 40
-- Recorded spend is sent at shorter intervals while any is missing.
local SYNC_S = 60
local prefix, request = KEYS[1], cjson.decode(ARGV[1])
local now = request.now
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
-- After Redis has lost its memory a process has to send the recorded spend first.
local epoch = redis.call('GET', prefix .. 'epoch')
if not epoch and request.seed then
  epoch = request.epoch
  redis.call('SET', prefix .. 'epoch', epoch)
end
if epoch ~= request.epoch then return {-1, epoch or ''} end

local function to_int(number) return string.format('%.0f', number) end

-- Reservations under an expired lease, or under an earlier one of a process, are not counted.
local leases, newest = prefix .. 'leases', request.lease
local function read_lease(text)
  local number, ends = string.match(text, '^(%d+) (.+)$')
  return tonumber(number), tonumber(ends)
end
local stored = redis.call('HGET', leases, request.process_id)
if stored then newest = math.max(newest, (read_lease(stored))) end
if request.lease_s > 0 then
  redis.call('HSET', leases, request.process_id, newest .. ' ' .. now + request.lease_s)
else
  redis.call('HDEL', leases, request.process_id)
end
local function reserved_field(process, lease) return 'r' .. process .. '.' .. lease end
local reserved_fields = {}
local known = redis.call('HGETALL', leases)
for n = 1, #known, 2 do
  local number, ends = read_lease(known[n + 1])
  if ends > now then
    reserved_fields[#reserved_fields + 1] = reserved_field(known[n], number)
  else
    redis.call('HDEL', leases, known[n])
  end
end

local function slot_of(span) return math.floor(now * SLICES / span) end

local function read(key, rule)
  local reserved, used = 0, 0
  if #reserved_fields > 0 then
    for _, amount in ipairs(redis.call('HMGET', key, unpack(reserved_fields))) do
      reserved = reserved + math.max(tonumber(amount) or 0, 0)
    end
  end
  local counts = {}
  if rule.what == 'usd' then
    used = tonumber(redis.call('HGET', key, 'w' .. to_int(rule.window))) or 0
  elseif rule.what ~= 'concurrency' then
    local fields = {'h'}
    for n = 0, SLICES do fields[#fields + 1] = 'b' .. n end
    local counter = redis.call('HMGET', key, unpack(fields))
    local head, current = tonumber(counter[1]), slot_of(rule.span)
    if head and head - current < BUCKETS then -- else Redis's clock was far ahead
      if current < head then current = head end
      for number = current - SLICES, head do
        local count = tonumber(counter[2 + number % BUCKETS]) or 0
        counts[number] = count
        used = used + count
      end
    end
  end
  return used, reserved, counts
end

local function add(key, span, amount)
  local head, current = tonumber(redis.call('HGET', key, 'h')), slot_of(span)
  if head and head - current >= BUCKETS then head = nil end -- Redis's clock was far ahead
  if not head or current > head then
    for number = math.max((head or 0) + 1, current - SLICES), current do
      redis.call('HDEL', key, 'b' .. number % BUCKETS)
    end
    redis.call('HSET', key, 'h', to_int(current))
  else
    current = head
  end
  redis.call('HINCRBY', key, 'b' .. current % BUCKETS, to_int(amount))
end

local function spend(key, window, amount)
  local field = 'w' .. to_int(window)
  if redis.call('HEXISTS', key, field) == 0 then
    for _, name in ipairs(redis.call('HKEYS', key)) do
      local number = tonumber(string.match(name, '^[wst](%d+)$'))
      if number and number < window - KEPT_WINDOWS then redis.call('HDEL', key, name) end
    end
  end
  redis.call('HINCRBY', key, field, to_int(amount))
end

-- Counts the recorded spend that is missing here.
local function sync(key, window, recorded)
  local used = read(key, {what = 'usd', window = window})
  if recorded <= used then return end
  spend(key, window, recorded - used)
  local synced, time = 's' .. to_int(window), 't' .. to_int(window)
  local added_at = tonumber(redis.call('HGET', key, time))
  if added_at and now - added_at > SYNC_S then redis.call('HDEL', key, synced) end
  redis.call('HINCRBY', key, synced, to_int(recorded - used))
  redis.call('HSET', key, time, string.format('%.3f', now))
end

-- The part of a late settlement that `sync` rows have not counted since.
local function uncounted(row, key, age_s)
  local field = 's' .. to_int(row.window)
  local fields = redis.call('HMGET', key, field, 't' .. to_int(row.window))
  local synced, added_at = tonumber(fields[1]) or 0, tonumber(fields[2])
  if synced == 0 or added_at < now - age_s then return row.used end
  local counted = math.min(row.used, synced)
  redis.call('HINCRBY', key, field, '-' .. to_int(counted))
  return row.used - counted
end

-- Reserves under a lease; the first time, deletes what earlier leases of the process have left.
local function reserve(key, lease, amount)
  if lease < newest then return end -- it would not count
  local field = reserved_field(request.process_id, lease)
  local total = redis.call('HINCRBY', key, field, to_int(amount))
  if total == 0 then redis.call('HDEL', key, field) end
  if total ~= amount or lease == 1 then return end
  local process = 'r' .. request.process_id .. '.'
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, #process) == process and name ~= field
      and tonumber(string.sub(name, #process + 1)) < newest then
      redis.call('HDEL', key, name)
    end
  end
end

local function settle(row, age_s)
  local key = prefix .. row.name
  if row.what == 'sync' then
    sync(key, row.window, row.used)
  else
    if row.lease == newest and row.amount > 0 then
      -- Without a floor, so that the result does not depend on the order of the batches.
      if row.in_flight then
        reserve(key, newest, row.amount)
      else
        local field = reserved_field(request.process_id, newest)
        local left = redis.call('HINCRBY', key, field, '-' .. to_int(row.amount))
        if left == 0 then redis.call('HDEL', key, field) end
      end
    end
    if row.used > 0 then
      if row.what == 'usd' then
        spend(key, row.window, age_s and uncounted(row, key, age_s) or row.used)
      else
        add(key, row.span, row.used)
      end
    end
    if row.ttl > 0 then redis.call('EXPIRE', key, row.ttl) end
  end
end
local settled = prefix .. 'settled:' .. request.process_id
if #request.confirmed > 0 then redis.call('SREM', settled, unpack(request.confirmed)) end
for _, batch in ipairs(request.batches) do
  if redis.call('SADD', settled, batch.id) == 1 then
    for _, row in ipairs(batch.rows) do settle(row, batch.age_s) end
  end
end
if #request.batches > 0 then redis.call('EXPIRE', settled, 86400) end

local function has_room(rule, used, reserved)
  if rule.what == 'requests' then return used < rule.limit end
  if rule.what == 'concurrency' then return reserved < rule.limit end
  if used + reserved + rule.amount <= rule.limit then return true end
  return reserved == 0 and used < rule.limit
end

local function retry_after_ms(rule, used, counts)
  if used < rule.limit or rule.what == 'concurrency' or rule.what == 'usd' then return 1000 end
  local remaining, current = used, slot_of(rule.span)
  for number = current - SLICES, current do
    remaining = remaining - (counts[number] or 0)
    if remaining < rule.limit then
      return math.max(0, math.ceil(((number + BUCKETS) * rule.span / SLICES - now) * 1000))
    end
  end
  return rule.span * 1000
end

local refused, wait, answer = 0, 0, {}
for n, rule in ipairs(request.reserve) do
  local used, reserved, counts = read(prefix .. rule.name, rule)
  answer[#answer + 1] = used
  answer[#answer + 1] = reserved
  if not has_room(rule, used, reserved) then
    refused, wait = n, retry_after_ms(rule, used, counts)
    break
  end
end
local reserved_rows = #request.reserve
if refused > 0 then reserved_rows = refused > request.request_rows and request.request_rows or 0 end
for n = 1, reserved_rows do
  local rule = request.reserve[n]
  local key = prefix .. rule.name
  if rule.what == 'requests' then
    add(key, rule.span, 1)
  else
    reserve(key, request.lease, rule.amount)
  end
  if rule.ttl > 0 then redis.call('EXPIRE', key, rule.ttl) end
end
return {refused, wait, request.lease, unpack(answer)}
