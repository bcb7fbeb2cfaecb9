-- Redis undoes nothing of a script that reaches a command which its user may not run. A change therefore checks every
-- command that it may run before its first write. `check_permissions()` in a change's file stands for the check of the
-- commands behind it, up to the next check; a file without it is checked as a whole. Commands that only read in front
-- of the check need none.
local function denial_of(commands)
  for i = 1, #commands do
    if not redis.acl_check_cmd(commands[i], KEY.stream) then
      return redis.error_reply("NOPERM this user has no permissions to run the '" .. commands[i] .. "' command")
    end
  end
end
local function denial_of_publish()
  if not (redis.acl_check_cmd('SPUBLISH', KEY.log, '') and redis.acl_check_cmd('SPUBLISH', KEY.events, '')) then
    return redis.error_reply('NOPERM this user has no permissions to publish on our channels')
  end
end
