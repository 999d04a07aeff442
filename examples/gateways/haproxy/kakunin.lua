-- Asks whether the agent may do what the frontend says that it asks for. Sets txn.kakunin to the status of the
-- answer; whoever lets in on anything but 200 lets everybody in. The client asks again by itself, up to three times, if a
-- connection ends without an answer; then the status is one of its own, 502 or 503.
core.register_action("kakunin", { "http-req" }, function(txn)
  txn:set_var("txn.kakunin", "none")
  local answer = core.httpclient():get({
    url = os.getenv("KAKUNIN_AUTH"),
    headers = {
      ["x-client-cert"] = { txn:get_var("txn.kakunin_cert") or "" },
      ["x-kakunin-action"] = { txn:get_var("txn.kakunin_action") or "" },
      ["x-original-uri"] = { txn:get_var("txn.kakunin_target") or "" },
      ["x-original-method"] = { txn:get_var("txn.kakunin_method") or "" },
    },
    timeout = 5000,
  })
  if answer and answer.status then
    local spiffe_id = answer.headers and answer.headers["x-kakunin-spiffe-id"]
    txn:set_var("txn.kakunin_spiffe_id", spiffe_id and spiffe_id[0] or "")
    txn:set_var("txn.kakunin", tostring(answer.status))
  end
end, 0)
