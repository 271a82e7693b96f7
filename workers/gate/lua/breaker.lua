-- The breaker of a scope: pauses, trips, and the one probe that may look.

local SETTLING_S = 2.5     -- in which every process reports its calls in flight to a new scope, and what was
                           -- granted before this Redis forgot it is journaled, for the day's counts
local PROBE_EVERY_S = 5

local function hold(scope, seconds, reason)
  if now + seconds > (number(scope, 'bu') or 0) then
    put(scope, 'bu', now + seconds)
    put(scope, 'br', reason)
  end
end

local function restart(scope)
  -- The ramp after a pause begins with an empty bucket, as the provider's may be.
  for _, dim in ipairs(scope.dims) do
    dim.tat, dim.refund, dim.changed = max(dim.tat, now), 0, true
  end
end

local function trip(scope, told, was_probe)
  local is_open = scope.f.bs == '1'
  if is_open and not was_probe then
    if told.hinted then hold(scope, told.wait, told.reason) end
    return
  end
  local trips = is_open and (number(scope, 'bn') or 0) + 1 or 1
  local wait = told.wait
  if not told.hinted then wait = min(wait * 1.5 ^ (trips - 1), told.most) end
  put(scope, 'bs', '1')
  put(scope, 'bn', trips)
  put(scope, 'bp', 0)
  hold(scope, wait, told.reason)
end

local function count_failures(scope, told)
  if (told.good or 0) > 0 then
    if scope.f.ff and scope.f.ff ~= '0' then put(scope, 'ff', '0') end
    if scope.f.fc and scope.f.fc ~= '0' then put(scope, 'fc', '0') end
    if scope.f.fl and scope.f.fl ~= '0' then put(scope, 'fl', '0') end
    return
  end
  if told.failed then
    local failures = (number(scope, 'ff') or 0) + told.failed.n
    put(scope, 'ff', format('%d', failures))
    if failures >= 10 then trip(scope, told.failed, told.probe == 'bad') end
  end
  if told.unreachable then
    local failures = (number(scope, 'fc') or 0) + told.unreachable.n
    put(scope, 'fc', format('%d', failures))
    if failures >= 3 or told.probe == 'bad' then
      trip(scope, told.unreachable, told.probe == 'bad')
    else
      hold(scope, 1, told.unreachable.reason)
    end
  end
end

local function settle_probe(scope, verdict)
  if scope.f.bs ~= '1' then return end
  put(scope, 'bp', 0)
  if verdict == 'good' then
    put(scope, 'bs', '0')
    put(scope, 'bn', 0)
    put(scope, 'bu', 0)
    restart(scope)
  elseif verdict == 'void' then
    put(scope, 'bl', 0) -- nothing was sent
  end -- else it was lost: the next one leaves as usual
end

local function is_probe_out(scope)
  -- One that nobody will tell about is not: its process is gone, or never heard that it may send it.
  if (number(scope, 'bp') or 0) <= now then return false end
  if scope.f.bw == order.process then return scope.said.flights > 0 end
  return flights_of(scope, 'p:' .. (scope.f.bw or '')) ~= nil
end

local function blocked(scope)
  -- Return what keeps everything of a scope from leaving: how long, code, detail.
  local until_, reason = number(scope, 'bu') or 0, scope.f.br or ''
  if until_ > now then return until_ - now, 'blocked', reason end
  if scope.f.bs == '1' then
    if is_probe_out(scope) then return 1, 'probing', reason end
    local next_probe = (number(scope, 'bl') or 0) + PROBE_EVERY_S
    if next_probe > now then return next_probe - now, 'blocked', reason end
    scope.probing = true
  end
  local is_seeded = #scope.days == 0 or scope.day_ends
  if scope.said.limits.concurrency or not is_seeded then
    local settled = (number(scope, 'born') or now) + SETTLING_S
    if settled > now then return settled - now, 'settling', '' end
  end
  if not is_seeded then return 0.5, 'unseeded', '' end
  return nil
end
