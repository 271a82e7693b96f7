-- Calls in flight: how many there are, how many a scope without limits has room for, and whose turn it is.

local KEPT_S = 0.25 -- for which a place is kept for somebody; who waits looks again sooner (asker.py)
local IN_TURN = 4   -- interactive calls that may go first, one after the other, while others wait
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

-- Places that fall free are first seen by the process whose call has ended. So that a person's call that
-- waits in another process isn't passed for ever, the places that it waits for are kept free.

local function waiting(scope)
  -- How many interactive calls were refused a place and haven't come in since.
  local count, expiry = string.match(scope.f.iw or '', '^(%d+) (%S+)$')
  if expiry and tonumber(expiry) > now then return tonumber(count), tonumber(expiry) end
  return 0, 0
end

local function kept_from(scope, class)
  -- How many free places a class must leave to others.
  local is_others_turn = (number(scope, 'ig') or 0) >= IN_TURN and (number(scope, 'ou') or 0) > now
  if class == 1 then return is_others_turn and 1 or 0 end
  if is_others_turn then return 0 end
  return (waiting(scope))
end

local function has_place(scope, class)
  return scope.flights + kept_from(scope, class) < scope.window
end

local function miss_place(scope, class)
  if class == 1 then
    scope.missed = (scope.missed or 0) + 1
  elseif waiting(scope) > 0 or (number(scope, 'ig') or 0) > 0 then
    put(scope, 'ou', now + KEPT_S)
  end
end

local function take_place(scope, class)
  scope.flights = scope.flights + 1
  local passed = number(scope, 'ig') or 0
  if class ~= 1 then
    if passed > 0 then put(scope, 'ig', 0) end
    return
  end
  local count, expiry = waiting(scope)
  if count == 0 then return end
  put(scope, 'iw', format('%d %.3f', count - 1, expiry))
  put(scope, 'ig', passed + 1)
end

local function keep_places(scope)
  -- A process knows of its own calls only: the most that one waits with are kept, not their sum.
  local missed = scope.missed
  if missed and missed >= waiting(scope) then put(scope, 'iw', format('%d %.3f', missed, now + KEPT_S)) end
end
