-- Asks whether the agent may do what the frontend says that it asks for. Sets txn.kakunin to the status of the
-- answer; whoever lets in on anything but 200 lets everybody in.
core.register_action("kakunin", { "http-req" }, function(txn)
  txn:set_var("txn.kakunin", "none")
  local question = {
    url = os.getenv("KAKUNIN_AUTH"),
    headers = {
      ["x-client-cert"] = { txn:get_var("txn.kakunin_cert") or "" },
      ["x-kakunin-action"] = { txn:get_var("txn.kakunin_action") or "" },
      ["x-original-uri"] = { txn:get_var("txn.kakunin_target") or "" },
      ["x-original-method"] = { txn:get_var("txn.kakunin_method") or "" },
    },
    timeout = 5000,
  }
  local answer = core.httpclient():get(question)
  -- Once more if there was no answer: a connection that was kept may have died. It is a GET, and harms nobody twice.
  if not answer or not answer.status or answer.status == 0 then
    answer = core.httpclient():get(question)
  end
  if answer and answer.status then
    local spiffe_id = answer.headers and answer.headers["x-kakunin-spiffe-id"]
    txn:set_var("txn.kakunin_spiffe_id", spiffe_id and spiffe_id[0] or "")
    txn:set_var("txn.kakunin", tostring(answer.status))
  end
end, 0)
