-- What answers teach: refusals, headers, other users of the key.

local PERIODS = {rps = 1, rpm = 60, rph = 3600, tpm = 60, itpm = 60, otpm = 60}
local KINDS = {rps = 1, rpm = 1, rph = 1, tpm = 2, itpm = 3, otpm = 4}
local STRAY_SHARE = 0.05   -- of answers that may be 429s and say nothing of a limit that is known
local STRAYS = {4, 8}      -- of them that are forgiven at once: at first, and at most
local IN_A_ROW = 6         -- of them without a good answer are no strays
local LESS = 0.985         -- of the rate at which a limit was met: it is not met again there
local LESS_IN_VAIN = 3     -- refusals there, one after the other, until the limit is not the reason
local IN_VAIN_S = 600      -- for which that is remembered, or that it was wrong

local function distrust(scope)
  -- A limit was met that is said to be higher: use less of it.
  local last = number(scope, 'tl') or 0
  if now - last < 1 then return end
  put(scope, 'tl', now)
  if (number(scope, 'sv') or 0) > now then
    put(scope, 'sv', 0)
    put(scope, 'sx', now + IN_VAIN_S)
  end
  local is_new_trouble = now - last > TROUBLE_S
  -- Where the trouble began; a storm of refusals tells no more than its first.
  if is_new_trouble or not scope.f.tc then put(scope, 'tc', scope.trust) end
  local factor = now - last > 30 and 0.97 or is_new_trouble and 0.93 or 0.9
  scope.trust = max(0.05, scope.trust * factor)
  put(scope, 'tf', scope.trust)
  pace(scope)
end

local function slow_down(scope)
  -- The same where no limit is known.
  local last = number(scope, 'tl') or 0
  if now - last < 1 then return end
  put(scope, 'tl', now)
  local rate = number(scope, 'ar') or recent_requests_per_s(scope)
  if rate then
    -- Where the trouble began; if it goes on, that was not it.
    if now - (number(scope, 'an') or 0) > TROUBLE_S then
      put(scope, 'af', rate)
      put(scope, 'an', now)
    end
    put(scope, 'ar', max(0.05, scope.f.af * 0.3, rate * (scope.f.ar and 0.85 or 0.7)))
  end
  shrink_window(scope, 0.7)
end

local function forgivable(scope, told)
  -- Count good answers for 429s that may be forgiven, and those against it; return how many may be.
  local before = number(scope, 'sc') or STRAYS[1]
  local left = min(STRAYS[2], before + STRAY_SHARE * (told.good or 0))
  local after = max(0, left - (told.limited and told.limited.n or 0))
  if after ~= before then put(scope, 'sc', after) end
  return left
end

local function is_lowered_in_vain(limiter, left)
  -- Whether a refusal shows, with those before it, that as few come at whatever rate.
  if (number(limiter, 'sx') or 0) > now then return false end
  if now - (number(limiter, 'tl') or 0) < 1 then return false end -- it may have left before
  local is_less = limiter.trust < LESS * (number(limiter, 'tc') or 1) and left >= STRAYS[2] / 2
  local times = is_less and (number(limiter, 'sn') or 0) + 1 or 0
  put(limiter, 'sn', times)
  if times < LESS_IN_VAIN then return false end
  put(limiter, 'tc', 1)
  return true
end

local function is_stray(scope, told, limiter, left)
  -- Whether refusals are as rare as a provider's accidents are, and have nothing to do with the rate:
  -- the limit was never met, or less of it met as many. Else it would be cut for each of them.
  local refused = told.limited
  local in_a_row = (number(scope, 'fl') or 0) + refused.n
  if refused.hinted or refused.n > left then return false end
  if (told.good or 0) == 0 and in_a_row >= IN_A_ROW then return false end
  local is_known = (number(limiter, 'sv') or 0) > now
  if not is_known and limiter.trust < 1 then is_known = is_lowered_in_vain(limiter, left) end
  if is_known then put(limiter, 'sv', now + IN_VAIN_S) end
  return is_known or limiter.trust >= 1
end

local function limited(scope, told, pool, left)
  -- With the breaker open only probes leave: that one is refused says nothing new about the rate.
  if scope.f.bs ~= '1' then
    local limiter = scope.own_limits > 0 and scope or pool.own_limits > 0 and pool
    if not limiter then
      slow_down(scope)
    elseif is_stray(scope, told, limiter, left) then
      return
    else
      distrust(limiter)
    end
  end
  hold(scope, told.limited.wait, told.limited.reason)
end

local function read_foreign(scope, name, remaining)
  -- What others take of a quota: what should have come in, less what is there, less what we took.
  local dim = scope.by_name[name]
  if not dim or remaining < 0 then return end
  local kind = KINDS[name]
  local limit = limit_of(scope, name)
  local rate = limit / PERIODS[name]
  local ours = (scope.sums[kind] or number(scope, 's:' .. kind) or 0) - max(0, dim.tat - now) / dim.per
  local packed = scope.f['f:' .. name] or ''
  local at, level, before, highest, foreign = string.match(packed, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  if not at then
    put(scope, 'f:' .. name, format('%.3f %.3f %.3f %.3f 0', now, remaining, ours, remaining))
    return
  end
  local dt = now - tonumber(at)
  if dt < 2 then return end
  level, highest = tonumber(level), max(tonumber(highest) * (1 - 0.001 * min(dt, 100)), remaining)
  foreign = tonumber(foreign)
  local is_full = remaining >= 0.9 * highest or level >= 0.9 * highest or remaining >= 0.97 * limit
  if dt > 60 or is_full then
    foreign = foreign * 0.8 -- nothing seen of others: they may have gone
  else
    local seen = (rate * dt - (remaining - level) - (ours - tonumber(before))) / dt
    -- Output is charged when it is written, so this is noisy: it is averaged with its sign, or the
    -- noise alone would look like somebody.
    foreign = foreign + 0.15 * (max(-0.5 * rate, min(seen, 0.95 * rate)) - foreign)
  end
  put(scope, 'f:' .. name, format('%.3f %.3f %.3f %.3f %.6f', now, remaining, ours, highest, foreign))
end

local function learn(scope, readings)
  for _, reading in ipairs(readings) do
    local name, limit, remaining = reading[1], reading[2], reading[3]
    if limit and limit > 0 then put(scope, 'l:' .. name, limit) end
    if remaining and remaining >= 0 and PERIODS[name] then read_foreign(scope, name, remaining) end
  end
end

local function hear(scope, told, pool)
  move(scope, told.undone, undone)
  move(scope, told.more, later)
  move(scope, told.less, sooner)
  sum_up(scope, told.undone, -1)
  sum_up(scope, told.more, 1)
  sum_up(scope, told.less, -1)
  if told.readings then learn(scope, told.readings) end
  local left = scope ~= pool and forgivable(scope, told) or 0
  if told.limited then
    limited(scope, told, pool, left)
    local refusals = (number(scope, 'fl') or 0) + told.limited.n
    put(scope, 'fl', format('%d', refusals))
    if refusals >= 10 and (told.good or 0) == 0 then trip(scope, told.limited, told.probe == 'bad') end
  end
  if (told.good or 0) > 0 and told.latency and scope ~= pool then
    note_latency(scope, told)
    grow_window(scope, told.good)
  end
  count_failures(scope, told)
  if told.trip then trip(scope, told.trip, told.probe == 'bad') end
  if told.probe then settle_probe(scope, told.probe) end
end
