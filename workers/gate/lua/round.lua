-- The round: every scope is read and hears what is told, the asks are decided, every scope is written.

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
    list_model(pool, lane.scope.said.name)
  end
end
for index = 1, #KEYS do
  local scope = scopes[index]
  close_day(scope)
  keep_places(scope)
  take_snapshot(scope)
  save(scope, lifetime_of(scope, pool))
end
local missing = {}
for index in pairs(unseeded) do missing[#missing + 1] = index end
reply[3] = cjson.encode({refused = refused, probes = probes, unseeded = missing, foreign = foreign})
return reply
