-- One round of the gate over one pool: what is told is booked, then the asks are decided in their order.
--
-- KEYS[1]   hash: the scope of the pool; the others: scopes of its models. They share a hash tag.
--           Every key lives for LIFETIME_S after its last round. Fields of a scope:
--           t:DIM  seconds since the epoch until which the dimension is paid for (as in GCRA)
--           c:DIM  seconds of it that endings gave back and that have not been released yet
--           s:N    cumulative cost of kind N (1 requests, 2 tokens, 3 input, 4 output, 5 tokens of the day)
--           w      two snapshots "time s1 s2 s3 s4" of these, 5 to 10 s and 0 to 5 s old; wt  the newer's time
--           v:N    the virtual clock of class N (1 interactive .. 4 bulk)
--           l:DIM  limit learned from the provider's headers
--           f:DIM  "time level cumulative highest foreign": what `remaining` says of other users
--           d:DIM, d:end   the counts of the day and the end of the day
--           p:PROCESS  "count expiry": its calls in flight
--           bu br bs bn bl bp  breaker: blocked until, why, 1 = only a probe may leave, trips in a row,
--                  last probe, until when a probe is out
--           ff fc fl   failures, failed connections, 429s in a row without a good answer
--           tf tl tc   trust factor, time of the last 429, the factor at which it came
--           ar af  rate per second that a pool without limits has found, and where it failed
--           cw cs cl  window of calls in flight that it has found, slow start's end, last shrinking
--           ls lm  latency per token, smoothed, and its floor;  at  the last round;  born  the first;  live  when the lifetime was renewed
--           m:NAME (pool only) a model scope that exists, and when it was used last
-- ARGV[1]   JSON, see workers/gate/script.py: process, scopes, told, asks
-- ARGV[2]   seconds since the epoch instead of the server's clock; given by tests only
-- Returns   {seconds, microseconds of the clock, JSON {refused, probes, unseeded}, then for each ask the
--           microseconds from the clock to its start, rounded up, or -1}
-- Clock     TIME of this server

local SHARE = 0.998        -- of a limit that is used
local CREDIT_S = 0.05      -- that an idle bucket saves
local WINDOW_S = 0.3       -- by which a call may leave after it was charged, without a loss
local REFUND_RATE = 0.5    -- seconds of refunds released per second
local REFUND_S = 0.2       -- of refunds that are kept beyond one's own
local HORIZONS = {0.65, 0.5, 0.38, 0.25}
local SHARES = {0.5, 0.2, 0.12, 0.06}
local GUARANTEED_S = 0.8   -- horizon of a class that is behind its share
local AHEAD_S = 0.2        -- of its virtual clock that a class may book at once
local FORGET_S = 2         -- of use beyond its share that is held against a class
local RETURN = 0.7         -- of a horizon is still booked when an asker comes back
local LIFETIME_S = 172800
local SILENT_S = 15        -- after which a process's calls in flight are forgotten
local SETTLING_S = 2.5     -- in which every process reports its calls in flight to a new scope
local PROBE_EVERY_S = 5
local TROUBLE_S = 10      -- without a 429, after which the next one is another trouble
local DIMS = {{'rps', 1, 1}, {'rpm', 60, 1}, {'rph', 3600, 1}, {'tpm', 60, 2}, {'itpm', 60, 3},
  {'otpm', 60, 4}}
local DAYS = {{'rpd', 1}, {'tpd', 5}}
local PERIODS = {rps = 1, rpm = 60, rph = 3600, tpm = 60, itpm = 60, otpm = 60}
local KINDS = {rps = 1, rpm = 1, rph = 1, tpm = 2, itpm = 3, otpm = 4}

local max, min, ceil, format, byte = math.max, math.min, math.ceil, string.format, string.byte
local order = cjson.decode(ARGV[1])
local now
if ARGV[2] then
  now = tonumber(ARGV[2])
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

-- Reading and writing a scope -------------------------------------------------------------------

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

local function load(index)
  local flat = redis.call('HGETALL', KEYS[index])
  local f, others, mine = {}, {}, 'p:' .. order.process
  for i = 1, #flat, 2 do
    local field = flat[i]
    f[field] = flat[i + 1]
    local first, second = byte(field, 1, 2)
    if second == 58 and first == 112 and field ~= mine then others[#others + 1] = field end
  end
  local said = order.scopes[index]
  local scope = {f = f, others = others, out = {}, said = said, key = KEYS[index], is_new = #flat == 0}
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

local function save(scope)
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
  if is_stale then redis.call('EXPIRE', scope.key, LIFETIME_S) end
end

-- Trust: what a 429 takes from the rates of a scope comes back, quickly up to where it failed ----

local function trust_grown(scope)
  local trust = scope.trust
  if trust >= 1 then return end
  local near = (number(scope, 'tc') or 1) * 0.99
  local dt = min(scope.dt, 60)
  if trust < near then
    local fast = min(dt, (near - trust) / 0.002)
    trust = trust + 0.002 * fast
    dt = dt - fast
  end
  scope.trust = min(1, trust + 0.0002 * dt)
  put(scope, 'tf', scope.trust)
end

local function foreign_rate(scope, name)
  local packed = scope.f['f:' .. name]
  return packed and tonumber(string.match(packed, '(%S+)$')) or 0
end

-- The paced dimensions of a scope: rates by what is configured, learned and trusted ---------------

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
      local left = rate * SHARE * scope.trust - foreign_rate(scope, d[1])
      set_rate(scope, d[1], d[3], max(left, rate * 0.05))
    end
  end
  scope.own_limits = #scope.dims - (scope.by_name.auto and 1 or 0)
end

local function pace_days(scope)
  scope.days = {}
  for _, d in ipairs(DAYS) do
    local limit = limit_of(scope, d[1])
    if limit then
      scope.days[#scope.days + 1] =
        {name = d[1], kind = d[2], limit = limit, used = number(scope, 'd:' .. d[1]) or 0}
    end
  end
end

local function pace_unlimited(scope, pool)
  -- A pool without limits is paced by the rate that it has found, if it has found one.
  local rate = number(scope, 'ar')
  if not rate or scope == pool or scope.own_limits + pool.own_limits > 0 then return end
  if not scope.by_name.auto and (number(scope, 't:auto') or 0) > now then
    local near = (number(scope, 'af') or rate) * 0.97
    rate = rate * (1 + (rate < near and 0.05 or 0.01) * min(scope.dt, 1))
    put(scope, 'ar', rate)
  end
  set_rate(scope, 'auto', 1, rate)
end

local function open_day(scope)
  if #scope.days == 0 then return end
  local ends = number(scope, 'd:end')
  local seed = scope.told and scope.told.seed
  if not ends and seed and seed['end'] > now then
    put(scope, 'd:rpd', seed.rpd)
    put(scope, 'd:tpd', seed.tpd)
    put(scope, 'd:end', seed['end'])
    ends = seed['end']
  elseif ends and ends <= now and scope.said.day_ends > now then
    put(scope, 'd:rpd', 0)
    put(scope, 'd:tpd', 0)
    put(scope, 'd:end', scope.said.day_ends)
    ends = scope.said.day_ends
  end
  scope.day_ends = ends
  pace_days(scope)
end

local function close_day(scope)
  for _, day in ipairs(scope.days) do
    if day.changed then put(scope, 'd:' .. day.name, day.used) end
  end
end

local function count_flights(scope)
  local total = scope.said.flights
  for _, field in ipairs(scope.others) do
    local count, expiry = string.match(scope.f[field], '^(%d+) (%S+)$')
    if tonumber(expiry) > now then
      total = total + tonumber(count)
    else
      redis.call('HDEL', scope.key, field)
    end
  end
  scope.flights = total
end

local function take_snapshot(scope)
  local w = scope.f.w
  if w and now - (number(scope, 'wt') or 0) < 5 then return end
  put(scope, 'wt', now)
  local s = scope.f
  local fresh = format('%.3f %s %s %s %s', now, s['s:1'] or 0, s['s:2'] or 0, s['s:3'] or 0, s['s:4'] or 0)
  local recent = w and string.match(w, '^%S+ %S+ %S+ %S+ %S+ (.*)$') or fresh
  put(scope, 'w', recent .. ' ' .. fresh)
end

local function recent_requests_per_s(scope)
  local since, count = string.match(scope.f.w or '', '^(%S+) (%S+)')
  if not since or now - tonumber(since) < 0.2 then return nil end
  return ((number(scope, 's:1') or 0) - tonumber(count)) / (now - tonumber(since))
end

-- What is told: corrections, answers, refusals, trips, headers ------------------------------------

local function move(scope, amounts, apply)
  if not amounts then return end
  for _, dim in ipairs(scope.dims) do
    local amount = amounts[dim.kind]
    if amount and amount ~= 0 then
      apply(dim, amount * dim.per)
      dim.changed = true
    end
  end
end

local function later(dim, seconds)
  local kept = min(dim.refund, seconds)
  dim.refund = dim.refund - kept
  dim.tat = max(dim.tat, now - CREDIT_S) + seconds - kept
end

local function sooner(dim, seconds)
  dim.refund = seconds + min(dim.refund, REFUND_S)
end

local function undone(dim, seconds)
  dim.tat = dim.tat - seconds
end

local function sum_up(scope, amounts, sign)
  if not amounts then return end
  for kind = 1, 4 do
    local amount = amounts[kind]
    if amount and amount ~= 0 then
      scope.sums[kind] = (scope.sums[kind] or number(scope, 's:' .. kind) or 0) + sign * amount
    end
  end
  for _, day in ipairs(scope.days) do
    local amount = amounts[day.kind]
    if amount and amount ~= 0 and scope.day_ends then
      day.used, day.changed = max(0, day.used + sign * amount), true
    end
  end
end

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

local function shrink_window(scope, factor)
  local window = number(scope, 'cw') or 8
  put(scope, 'cw', max(1, window * factor))
  put(scope, 'cs', max(1, window * factor))
  put(scope, 'cl', now)
end

local function limited(scope, told, pool)
  local last = number(scope, 'tl') or 0
  if now - last >= 1 then
    put(scope, 'tl', now)
    if scope.own_limits + pool.own_limits > 0 then
      put(scope, 'tc', scope.trust)
      local factor = now - last > 30 and 0.97 or now - last > 5 and 0.93 or 0.9
      scope.trust = max(0.05, scope.trust * factor)
      put(scope, 'tf', scope.trust)
    else
      local rate = number(scope, 'ar') or recent_requests_per_s(scope)
      if rate and scope.f.bs ~= '1' then
        -- Where the trouble began; a storm of refusals tells no more than its first.
        if now - last > TROUBLE_S or not scope.f.af then put(scope, 'af', rate) end
        local began = number(scope, 'af')
        put(scope, 'ar', max(0.05, began * 0.3, rate * (scope.f.ar and 0.85 or 0.7)))
      end
      if scope.f.bs ~= '1' then shrink_window(scope, 0.7) end
    end
  end
  hold(scope, told.wait, told.reason)
end

local function note_latency(scope, told)
  local per_token, raw = told.latency[1], told.latency[2]
  local weight = min(0.5, 0.05 * told.good)
  local short = number(scope, 'ls')
  short = short and short + weight * (per_token - short) or per_token
  local floor = min((number(scope, 'lm') or short) * (1 + 0.0005 * min(scope.dt, 10)), short)
  put(scope, 'ls', short)
  put(scope, 'lm', floor)
  if short > 2 * floor and raw > 0.25 and now - (number(scope, 'cl') or 0) > max(1, 2 * raw)
    and (number(scope, 'cw') or 8) > 8 then
    shrink_window(scope, 0.8)
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
    if seen < 0.03 * rate then seen = 0 end
    foreign = foreign + 0.3 * (min(seen, 0.95 * rate) - foreign)
  end
  if foreign < 0.01 * rate then foreign = 0 end
  put(scope, 'f:' .. name, format('%.3f %.3f %.3f %.3f %.6f', now, remaining, ours, highest, foreign))
end

local function learn(scope, readings)
  for _, reading in ipairs(readings) do
    local name, limit, remaining = reading[1], reading[2], reading[3]
    if limit and limit > 0 then put(scope, 'l:' .. name, limit) end
    if remaining and remaining >= 0 and PERIODS[name] then read_foreign(scope, name, remaining) end
  end
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
  if told.limited then
    limited(scope, told.limited, pool)
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

-- Deciding ---------------------------------------------------------------------------------------

local probes, refused, unseeded = {}, {}, {}

local function blocked(scope)
  -- Return what keeps everything of a scope from leaving: how long, code, detail.
  local until_, reason = number(scope, 'bu') or 0, scope.f.br or ''
  if until_ > now then return until_ - now, 'blocked', reason end
  if scope.f.bs == '1' then
    local out = number(scope, 'bp') or 0
    if out > now then return 1, 'probing', reason end
    local next_probe = (number(scope, 'bl') or 0) + PROBE_EVERY_S
    if next_probe > now then return next_probe - now, 'blocked', reason end
    scope.probing = true
  end
  if #scope.days > 0 and not scope.day_ends then return 0.5, 'unseeded', '' end
  if scope.said.limits.concurrency then
    local settled = (number(scope, 'born') or now) + SETTLING_S
    if settled > now then return settled - now, 'settling', '' end
  end
  return nil
end

local function window_of(scope, pool)
  -- How many calls may be in flight in a scope.
  if scope.said.limits.concurrency then return scope.said.limits.concurrency end
  if scope == pool or scope.own_limits + pool.own_limits > 0 then return 1e9 end
  if pool.said.limits.concurrency then return 1e9 end
  return max(1, number(scope, 'cw') or 8)
end

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

local function refuse(lane, class, wait, code, detail, by)
  lane.shut[class] = true
  refused[#refused + 1] = {lane.index, class, wait, code, detail, by and by.index or lane.index}
  return -1
end

local costs = {1, 0, 0, 0, 0}

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
      scope.probing = nil
      lane.wait, lane.code, lane.detail, lane.by = 1, 'probing', scope.f.br or '', scope
    end
  end
  probes[#probes + 1] = position
  lane.is_probing = nil
end

local function decide(lane, pool, class, position)
  if lane.shut[class] then return -1 end
  if pool.f.bs == '1' and not pool.probing and not lane.wait then
    lane.wait, lane.code, lane.detail, lane.by = 1, 'probing', pool.f.br or '', pool
  end
  if lane.wait then return refuse(lane, class, lane.wait, lane.code, lane.detail, lane.by) end
  local day = #lane.days > 0 and day_used_up(lane)
  if day then return refuse(lane, class, day.ends - now, 'day', day.name, day.scope) end
  local own = lane.scope
  if pool.flights >= pool.window or own.flights >= own.window then
    local crowded = pool.flights >= pool.window and pool or own
    return refuse(lane, class, 0.2, 'flights', format('%d', crowded.window), crowded)
  end
  local start, binding = earliest(lane.dims)
  local away = start - now > HORIZONS[class] and too_late(class, start, binding)
  if away then
    refuse(lane, class, away, 'pace', binding.name, binding.scope)
    refused[#refused][7] = start - now
    return -1
  end
  charge(lane, pool, class, start)
  pool.flights, own.flights = pool.flights + 1, own.flights + 1
  if lane.is_probing then probe(lane, pool, position) end
  return ceil((start - now) * 1e6)
end

-- The round --------------------------------------------------------------------------------------

local scopes = {}
for index = 1, #KEYS do
  local scope = load(index)
  scope.index, scopes[index] = index, scope
  scope.told = order.told[tostring(index)]
  trust_grown(scope)
  pace(scope)
  pace_days(scope)
  open_day(scope)
  count_flights(scope)
end
local pool = scopes[1]
for index = 1, #KEYS do
  local scope = scopes[index]
  pace_unlimited(scope, pool)
  if scope.told then
    hear(scope, scope.told, pool)
    -- What was learned changes the rates; what was paid stays paid.
    pace(scope)
    pace_unlimited(scope, pool)
    close_day(scope)
    pace_days(scope)
  end
  scope.window = window_of(scope, pool)
end

local reply = {}
local time = format('%.6f', now)
reply[1] = tonumber(string.match(time, '^%d+'))
reply[2] = tonumber(string.match(time, '%d+$'))
local asks, lanes, place = order.asks, {}, 4
for i = 1, #asks, 6 do
  local index, class = asks[i], asks[i + 1]
  costs[2], costs[3], costs[4], costs[5] = asks[i + 2], asks[i + 3], asks[i + 4], asks[i + 5]
  local lane = lanes[index]
  if not lane then
    lane = open_lane(index, pool, scopes)
    lanes[index] = lane
  end
  reply[place] = decide(lane, pool, class, (i - 1) / 6)
  place = place + 1
end

for _, lane in pairs(lanes) do
  if lane.count > 0 then
    local amounts = {lane.count, lane.tokens, lane.input, lane.output}
    for _, scope in ipairs({pool, lane.scope}) do
      scope.granted = (scope.granted or 0) + lane.count
      for kind = 1, 4 do
        scope.sums[kind] = (scope.sums[kind] or number(scope, 's:' .. kind) or 0) + amounts[kind]
      end
    end
    local known = 'm:' .. lane.scope.said.name
    if now - (number(pool, known) or 0) > 60 then put(pool, known, now) end
  end
end
for index = 1, #KEYS do
  local scope = scopes[index]
  close_day(scope)
  take_snapshot(scope)
  save(scope)
end
local missing = {}
for index in pairs(unseeded) do missing[#missing + 1] = index end
reply[3] = cjson.encode({refused = refused, probes = probes, unseeded = missing})
return reply
