//! The Lua scripts, one file a change; see `lua/prelude.lua` for what they share.

use redis::Script;

macro_rules! change {
    ($file:literal) => {
        Script::new(concat!(
            include_str!("lua/prelude.lua"),
            include_str!("lua/guard.lua"),
            include_str!(concat!("lua/", $file, ".lua"))
        ))
    };
}

// One that stands alone.
macro_rules! alone {
    ($file:literal) => {
        Script::new(include_str!(concat!("lua/", $file, ".lua")))
    };
}

/// All scripts, with their hashes computed once.
pub struct Scripts {
    /// Records a stream.
    pub create: Script,
    /// See [`crate::domain::Change::Activate`].
    pub activate: Script,
    /// See [`crate::domain::Change::BeginStop`].
    pub begin_stop: Script,
    /// See [`crate::domain::Change::Claim`].
    pub claim: Script,
    /// See [`crate::domain::Change::Release`].
    pub release: Script,
    /// See [`crate::domain::Change::RenewLock`].
    pub renew_lock: Script,
    /// See [`crate::domain::Change::Close`] and [`crate::domain::Change::Fail`].
    pub close: Script,
    /// See [`crate::domain::Change::IssueToken`].
    pub issue_token: Script,
    /// See [`crate::domain::Change::Connect`].
    pub connect: Script,
    /// See [`crate::domain::Change::Disconnect`].
    pub disconnect: Script,
    /// See [`crate::domain::Change::Publish`] and [`crate::domain::Change::Unpublish`].
    pub tracks: Script,
    /// See [`crate::domain::Change::ExpireJoining`].
    pub expire_joining: Script,
    /// See [`crate::domain::Change::SetMetadata`].
    pub set_metadata: Script,
    /// A page of streams.
    pub list: Script,
    /// A stream and its first participants.
    pub view: Script,
    /// A page of participants.
    pub participants: Script,
    /// A log after a cursor.
    pub read_log: Script,
    /// Where the newest events of a log begin.
    pub before_newest: Script,
    /// All live streams.
    pub snapshot_all: Script,
    /// What is due.
    pub due: Script,
    /// See [`crate::store::Coordination::take_lease`].
    pub lease: Script,
    /// See [`crate::store::Coordination::renew_lease`].
    pub lease_renew: Script,
    /// See [`crate::store::Coordination::end_lease`].
    pub lease_end: Script,
    /// See [`crate::store::Coordination::set_missing`].
    pub set_missing: Script,
    /// See [`crate::store::Coordination::suspect`].
    pub suspect: Script,
    /// See [`crate::store::Coordination::hold_room`].
    pub hold_room: Script,
    /// See [`crate::store::Coordination::closed_rooms`].
    pub closed_rooms: Script,
    /// See [`crate::store::Coordination::keep`].
    pub keep: Script,
    /// See [`crate::store::Quota::take`].
    pub take: Script,
    /// See [`crate::store::Answers::begin`].
    pub request_begin: Script,
    /// See [`crate::store::Answers::hold`] and the two that end an attempt.
    pub request_hold: Script,
}

impl Scripts {
    /// Reads them from the binary.
    pub fn new() -> Self {
        Self {
            create: Script::new(concat!(include_str!("lua/prelude.lua"), include_str!("lua/create.lua"))),
            activate: change!("activate"),
            begin_stop: change!("begin_stop"),
            claim: change!("claim"),
            release: change!("release"),
            renew_lock: change!("renew_lock"),
            close: change!("close"),
            issue_token: change!("issue_token"),
            connect: change!("connect"),
            disconnect: change!("disconnect"),
            tracks: change!("tracks"),
            expire_joining: change!("expire_joining"),
            set_metadata: change!("set_metadata"),
            list: alone!("list"),
            view: alone!("view"),
            participants: alone!("participants"),
            read_log: alone!("read_log"),
            before_newest: alone!("before_newest"),
            snapshot_all: alone!("snapshot_all"),
            due: alone!("due"),
            lease: alone!("lease"),
            lease_renew: alone!("lease_renew"),
            lease_end: alone!("lease_end"),
            set_missing: alone!("set_missing"),
            suspect: alone!("suspect"),
            hold_room: alone!("hold_room"),
            closed_rooms: alone!("closed_rooms"),
            keep: alone!("keep"),
            take: alone!("take"),
            request_begin: alone!("request_begin"),
            request_hold: alone!("request_hold"),
        }
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The names in `redis.call('…'`.
    fn called(text: &str) -> BTreeSet<&str> {
        text.split("redis.call('").skip(1).filter_map(|rest| rest.split('\'').next()).collect()
    }

    #[test]
    fn a_change_makes_sure_of_every_command_that_it_runs() {
        let prelude = include_str!("lua/prelude.lua");
        let checked = prelude.split("for _, command in ipairs({").nth(1).unwrap().split("})").next().unwrap();
        let mut checked: BTreeSet<_> = checked.split('\'').skip(1).step_by(2).collect();
        checked.insert("PUBLISH");
        let (mut run, mut changes) = (called(prelude), 0);
        let files: Vec<_> = std::fs::read_dir("src/store/redis/lua").unwrap().collect();
        let texts: Vec<_> = files
            .iter()
            .map(|file| std::fs::read_to_string(file.as_ref().unwrap().path()).unwrap())
            .collect();
        for text in &texts {
            // Only what stands behind the prelude uses its functions.
            if text.contains("return changed(") || text.contains("unchanged(") {
                run.extend(called(text));
                changes += 1;
            }
        }
        run.extend(called(include_str!("lua/guard.lua")));
        assert!(changes >= 12, "{changes}");
        assert_eq!(run, checked);
    }
}
