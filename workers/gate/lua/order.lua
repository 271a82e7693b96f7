-- One round of the gate over one pool: what is told is booked, then the asks are decided in their order.
-- The files of this folder are one script, joined in the order that workers/gate/script.py names.
--
-- KEYS[1]   hash: the scope of the pool; the others: scopes of its models. They share a hash tag.
--           Every key lives for LIFETIME_S after its last round, or less (models.lua). Fields of a scope:
--           t:DIM  seconds since the epoch until which the dimension is paid for (as in GCRA)
--           c:DIM  seconds of it that endings gave back and that have not been released yet
--           s:N    cumulative cost of kind N (1 requests, 2 tokens, 3 input, 4 output)
--           w      two snapshots "time s1 s2 s3 s4" of these, 5 to 10 s and 0 to 5 s old; wt  the newer's time
--           v:N    the virtual clock of class N (1 interactive .. 4 bulk)
--           l:DIM  limit learned from the provider's headers
--           f:DIM  "time level cumulative highest foreign": what `remaining` says of other users
--           d:DIM, d:end   the counts of the day and the end of the day
--           p:PROCESS  "count expiry": its calls in flight
--           iw ig ou  "count expiry" of interactive calls that wait for a place, how many of them came in one after
--                  the other, and until when others are known to wait for one
--           bu br bs bn bl bp bw  breaker: blocked until, why, 1 = only a probe may leave, trips in a row,
--                  last probe, until when a probe is out, and which process has it
--           ff fc fl   failures, failed connections, 429s in a row without a good answer
--           tf tl tc   trust factor, time of the last 429, the factor at which it came
--           sc sn sv sx  how many 429s may be strays, how often less of the limit was no help, until when that
--                  is known, and until when it is known to have been wrong
--           ar af an  rate per second that a pool without limits has found, where it failed, and when
--           cw cs cl  window of calls in flight that it has found, slow start's end, last shrinking
--           ls lm la ln  latency per token, smoothed, its floor, what it was at the last shrinking, and how
--                  often that changed nothing;  at  the last round;  born  the first;  live  when the lifetime was renewed
--           m:NAME (pool only) a model scope that is shown, and when it was used last; see models.lua
-- ARGV[1]   JSON, see workers/gate/script.py: process, scopes, told, asks
-- ARGV[2]   seconds since the epoch instead of the server's clock; given by tests only
-- Returns   {seconds, microseconds of the clock, JSON {refused, probes, unseeded, foreign}, then for each ask
--           the microseconds from the clock to its start, rounded up, or -1}
-- Clock     TIME of this server

local max, min, ceil, format, byte = math.max, math.min, math.ceil, string.format, string.byte
local order = cjson.decode(ARGV[1])
local now
if ARGV[2] then
  now = tonumber(ARGV[2])
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
