-- What was granted, and how endings correct it: what is paid for, and the sums of it.

local CREDIT_S = 0.05      -- that an idle bucket saves
local REFUND_S = 0.2       -- of refunds that are kept beyond one's own

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
