-- The paced dimensions of a scope: their rates by what is configured, learned and trusted.

local TROUBLE_S = 5       -- without a 429, after which the next one is another trouble
local SHARE = 0.998        -- of a limit that is used
local NOTICED = 0.03       -- of a limit is taken by others before it counts
local REFUND_RATE = 0.5    -- seconds of refunds released per second
local DIMS = {{'rps', 1, 1}, {'rpm', 60, 1}, {'rph', 3600, 1}, {'tpm', 60, 2}, {'itpm', 60, 3},
  {'otpm', 60, 4}}

local function trust_grown(scope)
  -- Back to just below where the trouble began within half a minute, however deep a storm has cut;
  -- from there on so slowly that a limit that is lower than it is said to be is rarely met.
  local trust = scope.trust
  if trust >= 1 then return end
  local quiet = now - (number(scope, 'tl') or 0) - TROUBLE_S
  if quiet <= 0 then return end
  local dt = min(scope.dt, quiet)
  local near = (number(scope, 'tc') or 1) * 0.99
  if trust < near then
    local steady = 0.002 * dt
    trust = min(near, near - (near - trust) * math.exp(-0.2 * dt) + steady)
  else
    trust = trust + 0.0002 * dt
  end
  scope.trust = min(1, trust)
  put(scope, 'tf', scope.trust)
end

local function foreign_rate(scope, name)
  local packed = scope.f['f:' .. name]
  return packed and tonumber(string.match(packed, '(%S+)$')) or 0
end

local function set_rate(scope, name, kind, rate)
  local dim = scope.by_name[name]
  if dim then
    dim.per = 1 / rate
    return
  end
  local tat = number(scope, 't:' .. name)
  local refund = number(scope, 'c:' .. name) or 0
  dim = {name = name, kind = kind, per = 1 / rate, tat = tat or scope.empty_until, known = tat ~= nil,
    scope = scope, refund = refund, refund_before = refund}
  if refund > 0 then
    local released = min(refund, REFUND_RATE * scope.dt)
    dim.tat, dim.refund, dim.changed = dim.tat - released, refund - released, true
  end
  scope.by_name[name] = dim
  scope.dims[#scope.dims + 1] = dim
end

local function limit_of(scope, name)
  -- The smaller of the configured limit and the one that the provider says.
  local limit, learned = scope.said.limits[name], tonumber(scope.f['l:' .. name])
  if learned and (not limit or learned < limit) then return learned end
  return limit
end

local function pace(scope)
  for i = 1, #DIMS do
    local d = DIMS[i]
    local limit = limit_of(scope, d[1])
    if limit then
      local rate = limit / d[2]
      local foreign = foreign_rate(scope, d[1])
      if foreign < NOTICED * rate then foreign = 0 end
      set_rate(scope, d[1], d[3], max(rate * SHARE * scope.trust - foreign, rate * 0.05))
    end
  end
  scope.own_limits = #scope.dims - (scope.by_name.auto and 1 or 0)
end

local function pace_unlimited(scope, pool)
  -- A pool without limits is paced by the rate that it has found, if it has found one.
  local rate = number(scope, 'ar')
  if not rate or scope == pool or scope.own_limits + pool.own_limits > 0 then return end
  local interval = 1 / rate
  if not scope.by_name.auto and (number(scope, 't:auto') or 0) + interval > now then
    -- It is what calls wait for. Quickly to where it failed, slowly past that, and faster again if that goes well for long.
    local near = (number(scope, 'af') or rate) * 0.97
    local quiet = max(0, now - (number(scope, 'tl') or 0))
    local growth = rate < near and 0.05 or min(0.1, 0.01 + 0.001 * quiet)
    rate = rate * (1 + growth * min(scope.dt, max(1, interval)))
    put(scope, 'ar', rate)
  end
  set_rate(scope, 'auto', 1, rate)
end
