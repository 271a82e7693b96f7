-- Calls in flight: how many there are, and how many a scope without limits has room for.

local IN_VAIN = 3 -- times that a smaller window may change nothing, until it is not the reason

local function count_flights(scope)
  local total = scope.said.flights
  for _, field in ipairs(scope.others) do
    local count = flights_of(scope, field)
    if count then
      total = total + count
    else
      redis.call('HDEL', scope.key, field)
    end
  end
  scope.flights = total
end

local function shrink_window(scope, factor)
  local window = number(scope, 'cw') or 8
  put(scope, 'cw', max(1, window * factor))
  put(scope, 'cs', max(1, window * factor))
  put(scope, 'cl', now)
end

local function note_latency(scope, told)
  local per_token, raw = told.latency[1], told.latency[2]
  local weight = min(0.5, 0.05 * told.good)
  local short = number(scope, 'ls')
  short = short and short + weight * (per_token - short) or per_token
  local floor = min((number(scope, 'lm') or short) * (1 + 0.0005 * min(scope.dt, 10)), short)
  put(scope, 'ls', short)
  put(scope, 'lm', floor)
  local before = number(scope, 'la') or 0
  if short <= 2 * floor then
    if before > 0 then put(scope, 'la', 0) end
  elseif raw > 0.25 and now - (number(scope, 'cl') or 0) > max(1, 2 * raw)
    and (number(scope, 'cw') or 8) > 8 then
    -- Where calls wait for each other, a fifth fewer of them are answered a fifth sooner.
    local in_vain = before > 0 and short > 0.9 * before and (number(scope, 'ln') or 0) + 1 or 0
    if in_vain < IN_VAIN then
      put(scope, 'la', short)
      put(scope, 'ln', in_vain)
      shrink_window(scope, 0.8)
    else
      -- They aren't: it became slower by itself, and how many it answers at once is to be found anew.
      put(scope, 'lm', short)
      put(scope, 'la', 0)
      put(scope, 'cs', 1e9)
    end
  end
end

local function grow_window(scope, good)
  local window = number(scope, 'cw') or 8
  if scope.flights + good < window * 0.7 then return end -- nobody wanted more
  local slow_start_ends = number(scope, 'cs') or 1e9
  if window < slow_start_ends then
    window = min(window + good, slow_start_ends)
  else
    window = window + good / window
  end
  put(scope, 'cw', min(window, 100000))
end

local function window_of(scope, pool)
  -- How many calls may be in flight in a scope.
  if scope.said.limits.concurrency then return scope.said.limits.concurrency end
  if scope == pool or scope.own_limits + pool.own_limits > 0 then return 1e9 end
  if pool.said.limits.concurrency then return 1e9 end
  return max(1, number(scope, 'cw') or 8)
end
