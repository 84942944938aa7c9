-- One load for wrk, chosen by name=value arguments after `--`:
--   kind    book, carve, cycle, hold-and-cancel, log-in or get
--   first, last   range of slot ids; each request books a random one of them
--   file    time ids, one in a line; each is booked once, by one of the threads
--   key     prefix of every Idempotency-Key; without it none is sent
--   email, password, path, token   as the kinds need them
--   way     a header that only the framework reads, so that the connection does not answer by itself
-- Prints one line of JSON at the end. Counts every status: wrk itself only counts those that are not 2xx or 3xx.

local threads = {}
local options = {}
local sent = 0
local following = {}
local reached = {}
local next_request
local note = function() end

statuses = {}
retry_after = 0

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local function headers(extra)
  local all = { ["Content-Type"] = "application/json" }
  if options.token then all["Authorization"] = "Bearer " .. options.token end
  if options.way then all["X-Way"] = options.way end
  for name, value in pairs(extra or {}) do all[name] = value end
  return all
end

local function hold()
  local body = string.format(
    '{"slotId":%d,"userName":"Ada Lovelace","userEmail":"ada@example.org"}', math.random(options.first, options.last))
  sent = sent + 1
  local key = options.key and { ["Idempotency-Key"] = string.format("%s-%d-%d", options.key, number, sent) }
  return wrk.format("POST", "/api/bookings", headers(key), body)
end

-- The lines of this thread: all have as many.
local function read_lines()
  local lines, place = {}, 0
  for line in io.lines(options.file) do
    if place % tonumber(options.threads) == number then table.insert(lines, line) end
    place = place + 1
  end
  return lines
end

local function carve(time_ids)
  return function()
    sent = sent + 1
    local body = string.format(
      '{"timeId":"%s","userName":"Ada Lovelace","userEmail":"ada@example.org"}', time_ids[sent] or "none is left")
    return wrk.format("POST", "/api/bookings", headers(), body)
  end
end

-- The next step of a booking is queued when its answer comes, and sent before another booking begins.
local function step_of_cycle()
  local step = table.remove(following, 1)
  if not step then return hold() end
  local with_token = headers({ ["Booking-Token"] = step.token })
  if step.action == "confirm" then
    return wrk.format("POST", "/api/bookings/" .. step.id .. "/confirm", with_token)
  end
  return wrk.format("GET", "/api/bookings/" .. step.id, with_token)
end

local function note_step(status, _, body)
  local id = string.match(body, '"id":(%d+)')
  if status == 201 then
    local token = string.match(body, '"manageToken":"([^"]+)"')
    reached[id] = token
    table.insert(following, { action = "confirm", id = id, token = token })
  elseif status == 200 and reached[id] then
    table.insert(following, { action = "read", id = id, token = reached[id] })
    reached[id] = nil
  end
end

local function step_of_cancelling()
  local step = table.remove(following, 1)
  if not step then return hold() end
  return wrk.format("DELETE", "/api/bookings/" .. step.id, headers({ ["Booking-Token"] = step.token }))
end

local function note_hold(status, _, body)
  if status ~= 201 then return end
  table.insert(following, { id = string.match(body, '"id":(%d+)'), token = string.match(body, '"manageToken":"([^"]+)"') })
end

local kinds = {
  book = function() next_request = hold end,
  carve = function() next_request = carve(read_lines()) end,
  cycle = function() next_request, note = step_of_cycle, note_step end,
  ["hold-and-cancel"] = function() next_request, note = step_of_cancelling, note_hold end,
  ["log-in"] = function()
    local body = string.format('{"email":"%s","password":"%s"}', options.email, options.password)
    local whole = wrk.format("POST", "/api/auth/login", headers(), body)
    next_request = function() return whole end
  end,
  get = function()
    local whole = wrk.format("GET", options.path, headers())
    next_request = function() return whole end
  end,
}

function init(arguments)
  for _, argument in ipairs(arguments) do
    local name, value = string.match(argument, "^(%w+)=(.*)$")
    options[name] = value
  end
  math.randomseed(os.time() * 64 + number)
  kinds[options.kind]()
end

function request()
  return next_request()
end

function response(status, answer_headers, body)
  statuses[status] = (statuses[status] or 0) + 1
  if answer_headers["Retry-After"] or answer_headers["retry-after"] then retry_after = retry_after + 1 end
  note(status, answer_headers, body)
end

function done(summary, latency)
  local all, told = {}, 0
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do all[status] = (all[status] or 0) + count end
    told = told + thread:get("retry_after")
  end
  local counted = {}
  for status, count in pairs(all) do table.insert(counted, string.format('"%d":%d', status, count)) end
  local errors = summary.errors
  io.write(string.format(
    '{"microseconds":%d,"statuses":{%s},"retryAfter":%d,"p50":%d,"p99":%d,"longest":%d,"broken":%d,"timeouts":%d}\n',
    summary.duration, table.concat(counted, ","), told, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write, errors.timeout))
end
