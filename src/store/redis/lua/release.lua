-- Who has claimed the stream could not finish. Another may try; by itself it is tried again after a while.
if not is_under_way() or s.claimedUntil == '' then return unchanged() end
s.claimedUntil = ''
return changed()
