-- The preconditions of a change to a stream that exists. It is put between the prelude and each such script.
if ARGV[6] ~= '' and redis.call('GET', K.lease) ~= ARGV[6] then return { 'fenced' } end
if not load() then return { 'missing' } end
if ARGV[3] ~= '' and redis.call('EXISTS', K.once) == 1 then return answer('duplicate') end
if ARGV[2] ~= '' and ARGV[2] ~= s.version then return rejected('version', s.version) end
