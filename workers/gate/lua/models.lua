-- The models of a pool by name: for whoever shows them, and for how long a model's own scope is kept.

local LISTED_MODELS = 128   -- of a pool; any caller may make names up, and every round reads the list
local UNLISTED_LIFETIME_S = 600
local DROPPED_AFTER_S = 3600 -- without a call, if the place is needed

local function make_room(pool)
  -- Takes the model off the list that was used the longest ago, if that is long enough.
  if pool.is_full then return false end
  local last, last_at = nil, now - DROPPED_AFTER_S
  for place, field in ipairs(pool.models) do
    local at = number(pool, field) or 0
    if at < last_at then last, last_at = place, at end
  end
  pool.is_full = last == nil
  if not last then return false end
  local dropped = table.remove(pool.models, last)
  redis.call('HDEL', pool.key, dropped)
  pool.f[dropped] = nil
  return true
end

local function list_model(pool, name)
  local field = 'm:' .. name
  local at = number(pool, field)
  if at and now - at <= 60 then return end
  if not at then
    if #pool.models >= LISTED_MODELS and not make_room(pool) then return end
    pool.models[#pool.models + 1] = field
  end
  put(pool, field, now)
end

local function lifetime_of(scope, pool)
  local is_listed = scope == pool or pool.f['m:' .. scope.said.name]
  return is_listed and LIFETIME_S or UNLISTED_LIFETIME_S
end
