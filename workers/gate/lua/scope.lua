-- A scope: its hash as a table, read at the start of a round and written at its end.

local GUARANTEED_S = 0.8   -- horizon of a class that is behind its share
local FORGET_S = 2         -- of use beyond its share that is held against a class
local LIFETIME_S = 172800
local SILENT_S = 10        -- after which a process's calls in flight are forgotten: less than its leases last, as
                           -- who takes over its slices would wait here for places that nobody has any more
local SET_BACK_S = 1       -- by which the last round may lie ahead of the clock

local function put(scope, field, value)
  local out = scope.out
  out[#out + 1] = field
  out[#out + 1] = value -- a number is written with all its digits
  scope.f[field] = value
end

local function number(scope, field)
  local value = scope.f[field]
  return value and tonumber(value) or nil
end

local function flights_of(scope, field)
  -- The calls in flight that a process has told of, nil once it was not heard of for SILENT_S.
  local count, expiry = string.match(scope.f[field] or '', '^(%d+) (%S+)$')
  if expiry and tonumber(expiry) > now then return tonumber(count) end
  return nil
end

local foreign = {} -- indexes of keys that were none of ours

local function read(index)
  -- What somebody else has written there would hold every call up for ever, and pace is all that it holds.
  local flat = redis.pcall('HGETALL', KEYS[index])
  if not flat.err then return flat end
  if not string.find(flat.err, 'WRONGTYPE', 1, true) then return redis.call('HGETALL', KEYS[index]) end
  redis.call('DEL', KEYS[index])
  foreign[#foreign + 1] = index
  return {}
end

local function load(index)
  local flat = read(index)
  local f, others, models, mine = {}, {}, {}, 'p:' .. order.process
  for i = 1, #flat, 2 do
    local field = flat[i]
    f[field] = flat[i + 1]
    local first, second = byte(field, 1, 2)
    if second == 58 then -- "p:" and "m:"
      if first == 112 and field ~= mine then others[#others + 1] = field end
      if first == 109 then models[#models + 1] = field end
    end
  end
  if (tonumber(f.at) or 0) > now + SET_BACK_S then
    -- The clock was set back: until it has caught up, everything would be paid for. As good as lost.
    redis.call('DEL', KEYS[index])
    f, others, models = {}, {}, {}
  end
  local said = order.scopes[index]
  local scope = {f = f, others = others, models = models, out = {}, said = said, key = KEYS[index], is_new = f.at == nil}
  scope.dt = now - (tonumber(f.at) or now)
  if scope.dt < 0 then scope.dt = 0 end
  if scope.is_new then put(scope, 'born', now) end
  -- A new scope may be one that was lost: what was granted before may still be about to start.
  scope.empty_until = scope.is_new and now + GUARANTEED_S or now
  scope.trust = tonumber(f.tf) or 1
  scope.flights = said.flights
  scope.clocks, scope.sums, scope.dims, scope.by_name = {}, {}, {}, {}
  return scope
end

local function save(scope, lifetime_s)
  local own = scope.said.flights + (scope.granted or 0)
  local mine = 'p:' .. order.process
  if own > 0 or scope.f[mine] then put(scope, mine, own .. ' ' .. ceil(now + SILENT_S)) end
  for _, dim in ipairs(scope.dims) do
    if dim.changed or not dim.known then put(scope, 't:' .. dim.name, dim.tat) end
    if dim.refund ~= dim.refund_before then put(scope, 'c:' .. dim.name, dim.refund) end
  end
  for class, clock in pairs(scope.clocks) do
    if clock > now then put(scope, 'v:' .. class, min(clock, now + FORGET_S)) end
  end
  for kind, sum in pairs(scope.sums) do put(scope, 's:' .. kind, sum) end
  put(scope, 'at', now)
  local is_stale = now - (number(scope, 'live') or 0) > 60
  if is_stale then put(scope, 'live', now) end
  redis.call('HSET', scope.key, unpack(scope.out))
  if is_stale then redis.call('EXPIRE', scope.key, lifetime_s) end
end
