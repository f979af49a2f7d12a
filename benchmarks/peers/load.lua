-- Which request wrk sends, and its numbers as one line of JSON. Arguments behind `--`: get or post.
local body = '{"product": 7, "amount": 2, "note": "' .. string.rep("x", 160) .. '"}'

function init(arguments)
  if arguments[1] == "post" then
    wrk.method, wrk.path, wrk.body = "POST", "/orders", body
    wrk.headers["Content-Type"] = "application/json"
  else
    wrk.path = "/items/42?page=2"
  end
  message = wrk.format()
end

function request()
  return message
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\n{"requests": %d, "seconds": %.6f, "failed": %d, "p50": %.3f, "p99": %.3f}\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
