-- The least that makes a request portable: no previous response, no ids. What cjson makes of the rest is its own
-- affair: empty arrays become objects, and numbers lose what a double cannot hold.
local json = require "cjson.safe"

ngx.req.read_body()
local body = ngx.req.get_body_data()
local payload = body and json.decode(body)
if type(payload) == "table" and type(payload.input) == "table" then
    payload.previous_response_id = nil
    for _, item in ipairs(payload.input) do
        item.id = nil
    end
    local encoded = json.encode(payload)
    if encoded then
        ngx.req.set_body_data(encoded)
    end
end
