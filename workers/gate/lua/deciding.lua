-- Deciding an ask: the earliest start that every dimension pays for, and whether it is near enough.

local WINDOW_S = 0.3       -- by which a call may leave after it was charged, without a loss
local HORIZONS = {0.65, 0.5, 0.38, 0.25}
local SHARES = {0.5, 0.2, 0.12, 0.06}
local AHEAD_S = 0.2        -- of its virtual clock that a class may book at once
local RETURN = 0.7         -- of a horizon is still booked when an asker comes back

local probes, refused, unseeded = {}, {}, {}
local costs = {1, 0, 0, 0, 0} -- of the ask that is being decided, by kind

local function open_lane(index, pool, scopes)
  local scope = scopes[index]
  local lane = {scope = scope, index = index, dims = {}, shut = {}, days = {}, count = 0, tokens = 0,
    input = 0, output = 0}
  for _, s in ipairs({pool, scope}) do
    local wait, code, detail = blocked(s)
    if wait and (not lane.wait or wait > lane.wait) then
      lane.wait, lane.code, lane.detail, lane.by = wait, code, detail, s
    end
    if code == 'unseeded' then unseeded[s.index] = true end
    for _, dim in ipairs(s.dims) do lane.dims[#lane.dims + 1] = dim end
    for _, day in ipairs(s.days) do
      day.ends = s.day_ends
      day.scope = s
      lane.days[#lane.days + 1] = day
    end
  end
  lane.is_probing = pool.probing or scope.probing
  return lane
end

local function refuse(lane, class, wait, code, detail, by, limit, start)
  -- The last two belong to codes that have them; 0 and -1 else, as JSON's arrays have no holes.
  lane.shut[class] = true
  refused[#refused + 1] = {lane.index, class, wait, code, detail, by and by.index or lane.index,
    limit or 0, start or -1}
  return -1
end

local function day_used_up(lane)
  for _, day in ipairs(lane.days) do
    if day.used + costs[day.kind] > day.limit then return day end
  end
  return nil
end

local function clock_of(scope, class)
  local clock = scope.clocks[class]
  if not clock then
    clock = min(max(number(scope, 'v:' .. class) or now, now), now + FORGET_S)
    scope.clocks[class] = clock
  end
  return clock
end

local function earliest(dims)
  local start, binding = now, nil
  for i = 1, #dims do
    local dim = dims[i]
    local x = costs[dim.kind] * dim.per
    local base, floor = dim.tat, now - (x > CREDIT_S and x or CREDIT_S)
    if base < floor then base = floor end
    base = base + x
    dim.paid, dim.x = base, x
    if base > start then start, binding = base, dim end
  end
  return start, binding
end

local function too_late(class, start, binding)
  -- Return how long to stay away for a start beyond the class's horizon, nil if it is behind its share.
  local ahead = start - now
  local behind = clock_of(binding.scope, class) - now
  if behind < AHEAD_S and ahead <= GUARANTEED_S then return nil end
  local usual = ahead - RETURN * HORIZONS[class]
  local guaranteed = max(behind, ahead - RETURN * GUARANTEED_S)
  return max(0.01, min(usual, guaranteed))
end

local function charge(lane, pool, class, start)
  local dims = lane.dims
  local pool_x, own_x = 0, 0
  for i = 1, #dims do
    local dim = dims[i]
    local x, paid = dim.x, dim.paid
    local latest = start - (x > WINDOW_S and x or WINDOW_S) + x
    dim.tat = paid > latest and paid or latest
    dim.changed = true
    if dim.scope == pool then
      if x > pool_x then pool_x = x end
    elseif x > own_x then
      own_x = x
    end
  end
  if pool_x > 0 then
    local clocks = pool.clocks
    clocks[class] = (clocks[class] or clock_of(pool, class)) + pool_x / SHARES[class]
  end
  if own_x > 0 then
    local clocks = lane.scope.clocks
    clocks[class] = (clocks[class] or clock_of(lane.scope, class)) + own_x / SHARES[class]
  end
  for i = 1, #lane.days do
    local day = lane.days[i]
    day.used, day.changed = day.used + costs[day.kind], true
  end
  lane.count = lane.count + 1
  lane.tokens = lane.tokens + costs[2]
  lane.input = lane.input + costs[3]
  lane.output = lane.output + costs[4]
end

local function probe(lane, pool, position)
  for _, scope in ipairs({pool, lane.scope}) do
    if scope.probing then
      put(scope, 'bl', now)
      put(scope, 'bp', now + order.probe_s)
      put(scope, 'bw', order.process)
      scope.probing = nil
      lane.wait, lane.code, lane.detail, lane.by = 1, 'probing', scope.f.br or '', scope
    end
  end
  probes[#probes + 1] = position
  lane.is_probing = nil
end

local function decide(lane, pool, class, position)
  if lane.shut[class] then
    if class == 1 and lane.crowded then miss_place(lane.crowded, class) end
    return -1
  end
  if pool.f.bs == '1' and not pool.probing and not lane.wait then
    lane.wait, lane.code, lane.detail, lane.by = 1, 'probing', pool.f.br or '', pool
  end
  if lane.wait then return refuse(lane, class, lane.wait, lane.code, lane.detail, lane.by) end
  local day = #lane.days > 0 and day_used_up(lane)
  if day then return refuse(lane, class, day.ends - now, 'day', day.name, day.scope, day.limit) end
  local own = lane.scope
  local crowded = not has_place(pool, class) and pool or not has_place(own, class) and own
  if crowded then
    if class == 1 then lane.crowded = crowded end
    miss_place(crowded, class)
    return refuse(lane, class, 0.2, 'flights', format('%d', crowded.window), crowded)
  end
  local start, binding = earliest(lane.dims)
  local away = start - now > HORIZONS[class] and too_late(class, start, binding)
  if away then
    local limit = limit_of(binding.scope, binding.name)
    return refuse(lane, class, away, 'pace', binding.name, binding.scope, limit, start - now)
  end
  charge(lane, pool, class, start)
  take_place(pool, class)
  take_place(own, class)
  if lane.is_probing then probe(lane, pool, position) end
  return ceil((start - now) * 1e6)
end
