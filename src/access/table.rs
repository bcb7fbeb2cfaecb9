//! The table: which grant may do what. The README's table and the OpenAPI document say the same, which tests hold.

/// Something that a caller may want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create a stream.
    Create,
    /// List streams.
    List,
    /// Follow all streams.
    FollowAll,
    /// Read one stream: its state, its participants, its history, its feed.
    Read,
    /// Change a stream's metadata.
    Update,
    /// Stop a stream.
    Stop,
    /// Have a join token made, for anybody.
    Join,
    /// Leave as oneself.
    Leave,
    /// Put somebody else out.
    Remove,
    /// See hidden participants, whom LiveKit shows no other participant.
    ReadHidden,
}

/// A grant of a LiveKit access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// `roomCreate`
    RoomCreate,
    /// `roomList`
    RoomList,
    /// `roomAdmin`
    RoomAdmin,
    /// `roomJoin`
    RoomJoin,
}

impl Grant {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RoomCreate, Self::RoomList, Self::RoomAdmin, Self::RoomJoin];

    /// LiveKit's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoomCreate => "roomCreate",
            Self::RoomList => "roomList",
            Self::RoomAdmin => "roomAdmin",
            Self::RoomJoin => "roomJoin",
        }
    }

    /// Whether it is good for the room that the token names, and for no other.
    pub const fn is_of_a_room(self) -> bool {
        matches!(self, Self::RoomAdmin | Self::RoomJoin)
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is wanted.
    pub action: Action,
    /// The same in words, as the README has it.
    pub words: &'static str,
    /// Any of these will do.
    pub grants: &'static [Grant],
}

const fn rule(action: Action, words: &'static str, grants: &'static [Grant]) -> Rule {
    Rule { action, words, grants }
}

/// The table.
#[rustfmt::skip]
pub const TABLE: [Rule; 10] = [
    rule(Action::Create, "create a stream", &[Grant::RoomCreate]),
    rule(Action::List, "list streams", &[Grant::RoomList]),
    rule(Action::FollowAll, "follow all streams", &[Grant::RoomList]),
    rule(Action::Read, "read and follow a stream", &[Grant::RoomList, Grant::RoomAdmin, Grant::RoomJoin]),
    rule(Action::Update, "change a stream's metadata", &[Grant::RoomAdmin]),
    rule(Action::Stop, "stop a stream", &[Grant::RoomCreate, Grant::RoomAdmin]),
    rule(Action::Join, "create join tokens", &[Grant::RoomAdmin]),
    rule(Action::Leave, "leave under the token's own identity", &[Grant::RoomAdmin, Grant::RoomJoin]),
    rule(Action::Remove, "remove another participant", &[Grant::RoomAdmin]),
    rule(Action::ReadHidden, "list a stream's hidden participants", &[Grant::RoomList, Grant::RoomAdmin]),
];

impl Action {
    /// Its row.
    pub const fn rule(self) -> Rule {
        TABLE[self as usize]
    }

    /// What a token needs for it, in words.
    pub fn needs(self) -> String {
        let rule = self.rule();
        let grant = |grant: &Grant| {
            let of = if grant.is_of_a_room() { " for the stream's room" } else { "" };
            format!("{}{of}", grant.as_str())
        };
        let grants: Vec<_> = rule.grants.iter().map(grant).collect();
        format!("to {}, the token needs {}", rule.words, grants.join(", or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_own_row() {
        for Rule { action, words, grants } in TABLE {
            assert_eq!(action.rule().action, action);
            assert!(!words.is_empty() && !grants.is_empty());
        }
    }
}
