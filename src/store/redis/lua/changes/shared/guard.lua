-- The preconditions of every change to an existing stream.
if ARG.lease_token ~= '' and redis.call('GET', KEY.lease) ~= ARG.lease_token then return { 'lease_lost' } end
if not load() then return { 'not_found' } end
if ARG.dedup_ttl_ms ~= '' and redis.call('EXISTS', KEY.dedup) == 1 then return answer('duplicate') end
if ARG.expected_version ~= '' and not meets_version(tonumber(ARG.expected_version)) then
  return rejected('version', stream.version)
end
