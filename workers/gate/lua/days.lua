-- What a day allows, counted until the provider's day ends.

local DAYS = {{'rpd', 1}, {'tpd', 5}}

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
