-- Whoever was creating or stopping the stream is relieved, if their time is up.
if not is_under_way() or (s.claimedUntil ~= '' and tonumber(s.claimedUntil) > now) then return unchanged() end
s.claimedUntil = integer(now + CLAIM_MS)
return changed()
