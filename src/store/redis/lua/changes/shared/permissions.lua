-- Redis undoes nothing of a script that reaches a command which its user may not run. A change therefore checks every
-- command that it may run before its first write.
for i = 1, #COMMANDS do
  if not redis.acl_check_cmd(COMMANDS[i], KEY.stream) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. COMMANDS[i] .. "' command")
  end
end
if not (redis.acl_check_cmd('PUBLISH', KEY.log, '') and redis.acl_check_cmd('PUBLISH', KEY.events, '')) then
  return redis.error_reply('NOPERM this user has no permissions to publish on our channels')
end
